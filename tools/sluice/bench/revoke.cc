// Takes rights away and times it. See bench/revoke.hpp.
//
// Both sides begin with a block of which all 512 small pages have an entry in the page table, and
// end with none.

#include "bench/revoke.hpp"

#include "base/types.hpp"
#include "bench/floor.hpp"
#include "fault/open_fault_source.hpp"
#include "os/address_window.hpp"
#include "os/host_memory.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int repetitions = 50;

}  // namespace

struct Revocations::Stand {
  // The view is not touched without rights here.
  class NoFaults : public fault::Resolver {
   public:
    AddressSpan resolve(const fault::AccessFault& fault) noexcept override {
      return {fault.address, page_size};
    }
  };

  explicit Stand(Grade best)
      : memory(
            need("host memory",
                 os::HostMemory::create(need(
                     "addresses", os::AddressWindow::reserve(os::AddressWindow::smallest_size))))),
        block{memory->window().begin, block_size} {
    (void)need("map a block", memory->map_view(block, HostPages::small));
    need("populate a block", memory->populate(block));
    source =
        need("open a fault source", fault::open_fault_source({.best = best}, *memory, resolver));
    need("watch a block", source->watch(block));
  }
  ~Stand() {
    source->unwatch(block);
    source.reset();
    (void)memory->unmap_view(block);
  }

  NoFaults resolver;
  std::unique_ptr<os::HostMemory> memory;
  AddressSpan block;
  std::unique_ptr<fault::FaultSource> source;
  Floor floor{block_size};
};

Revocations::Revocations(Grade best) : stand_(std::make_unique<Stand>(best)) {}
Revocations::Revocations(Revocations&&) noexcept = default;
Revocations::~Revocations() = default;

void Revocations::round() {
  std::vector<double> revoked;
  std::vector<double> dropped;
  for (int i = 0; i < repetitions; ++i) {
    stand_->floor.map_all();
    const Stopwatch dropping;
    stand_->floor.drop();
    dropped.push_back(dropping.microseconds());

    need("grant", stand_->source->grant(stand_->block, Access::write));
    const Stopwatch revoking;
    need("revoke", stand_->source->revoke(stand_->block));
    revoked.push_back(revoking.microseconds());
  }
  values_.push_back(median(std::move(revoked)));
  baselines_.push_back(median(std::move(dropped)));
}

void Revocations::forget() {
  values_.clear();
  baselines_.clear();
}

void Revocations::finish(std::vector<Case>& cases) const {
  cases.push_back(
      {"revoke_2m", median(values_), "us", median(baselines_), Goal{Goal::Side::at_most, 2}});
}

}  // namespace sluice::tool::bench
