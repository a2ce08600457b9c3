// Every directory that plans can lead to, for small blocks, and from each of them every request:
// the promises of simulator.hpp at each step, and that a plan leaves nothing to do.
//
// Breadth first over the text of the directory. The bytes add nothing to the state: a copy is valid
// exactly if the directory says so, which is one of the promises.
#include <deque>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

#include "plan/simulator.hpp"

namespace sluice::plan {
namespace {

class Enumeration {
 public:
  Enumeration(std::uint32_t extent, int devices, const Abilities& abilities) : devices_(devices) {
    Simulator first(extent, devices, abilities);
    for (int device = 0; device < devices; ++device) first.admit(device);
    for (std::uint32_t bits = 1; bits < (1U << extent); ++bits) {
      PageMask& mask = masks_.emplace_back();
      for (std::uint32_t page = 0; page < extent; ++page) {
        if ((bits >> page & 1) != 0) mask.insert({page, 1});
      }
    }
    note(std::move(first));
  }

  // Returns how many directories there are.
  std::size_t run() {
    for (; !fresh_.empty(); fresh_.pop_front()) {
      const Simulator machine = fresh_.front();
      for (const PageMask& pages : masks_) requests_on(machine, pages);
      for (int device = 0; device < devices_; ++device) requests_of(machine, device);
    }
    return seen_.size();
  }

 private:
  void requests_on(const Simulator& from, const PageMask& pages) {
    for (int number = -1; number < devices_; ++number) {
      const Location to = number < 0 ? Location::host() : Location::device(number);
      for (const Access access : {Access::read, Access::write}) {
        for (const Means means : {Means::own, Means::host_mapped}) {
          if (means == Means::host_mapped && to.is_host()) continue;
          try_plan(from, [&](const Simulator& at) {
            return acquire(at.block(), {to, pages, access, means}, at.abilities());
          });
        }
      }
    }
    try_plan(from, [&](const Simulator& at) { return discard(at.block(), pages, at.abilities()); });
  }

  void requests_of(const Simulator& from, int device) {
    for (const Access access : {Access::read, Access::write}) {
      try_plan(from, [&](const Simulator& at) {
        return acquire(at.block(), {Location::device(device), {}, access, Means::host_mapped},
                       at.abilities());
      });
    }
    for (int to = -1; to < devices_; ++to) {
      if (to == device) continue;
      try_plan(from, [&](const Simulator& at) {
        return evict(at.block(), device, to < 0 ? Location::host() : Location::device(to),
                     at.abilities());
      });
    }
    Simulator lost = from;
    lost.lose(device);
    note(std::move(lost));
  }

  template <typename Planner>
  void try_plan(const Simulator& from, Planner&& planner) {
    Simulator machine = from;
    machine.execute(planner(machine));
    const Plan again = planner(machine);
    ASSERT_TRUE(again.empty()) << "asked twice:\n"
                               << to_string(again) << "from\n"
                               << machine.describe();
    note(std::move(machine));
  }

  void note(Simulator&& machine) {
    if (seen_.insert(machine.describe()).second) fresh_.push_back(std::move(machine));
  }

  int devices_;
  std::vector<PageMask> masks_;
  std::deque<Simulator> fresh_;
  std::unordered_set<std::string> seen_;
};

struct Case {
  std::uint32_t extent;
  int devices;
  bool host_can_share;
  std::uint64_t recoverable;
};

class Enumerate : public testing::TestWithParam<Case> {};

TEST_P(Enumerate, every_request_in_every_state) {
  const Case& block = GetParam();
  Enumeration all(block.extent, block.devices,
                  {block.host_can_share, DeviceSet::of_mask(block.recoverable)});
  const std::size_t states = all.run();
  RecordProperty("states", static_cast<int>(states));
  EXPECT_GT(states, 50u) << "the enumeration stopped early";
}

INSTANTIATE_TEST_SUITE_P(Blocks, Enumerate,
                         testing::Values(Case{1, 3, true, 0b000}, Case{1, 3, true, 0b011},
                                         Case{1, 3, false, 0b100}, Case{2, 2, true, 0b00},
                                         Case{2, 2, true, 0b10}, Case{2, 2, false, 0b10}));

}  // namespace
}  // namespace sluice::plan
