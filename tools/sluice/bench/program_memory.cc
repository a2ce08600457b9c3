// The memories, each used as well as its documentation says.
//
// Hints: memory that kernels use prefers the GPU and is prefetched to it; the word prefers the host
// and the GPU reaches it there. Beyond that no one way is best: prefetching to the host is slower
// than faults of many threads at once, and read-mostly inputs save the way back, but each host
// store to a page with copies costs a fault of its own. So there are three ways (Hints), and the
// fastest counts. Copies: pinned host memory and device memory for each array that both sides use,
// and the word in pinned memory that kernels reach. Sluice: a scope for each on_card(), the word in
// a host range; no hints.
#include "bench/program_memory.hpp"

#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "report.hpp"

namespace sluice::tool::bench {
namespace {

class Bare : public ProgramMemory {
 public:
  using ProgramMemory::ProgramMemory;
  void wait() override { card_.synchronize(); }
  void free_arrays() override { owned_.clear(); }

 protected:
  Addresses allocate(std::size_t size, Role /*role*/) override {
    std::byte* const bytes = owned(Memory::managed, size);
    return {bytes, bytes};
  }
  void before_reading(const Bytes& /*bytes*/) override { wait(); }
  std::byte* owned(Memory memory, std::size_t size) {
    return owned_.emplace_back(std::make_unique<CardMemory>(card_, memory, size))->data();
  }

 private:
  std::vector<std::unique_ptr<CardMemory>> owned_;
};

class HintedMemory final : public Bare {
 public:
  HintedMemory(const Card& card, Hints hints) : Bare(card), hints_(hints) {}

 private:
  Addresses allocate(std::size_t size, Role role) override {
    const Addresses made = Bare::allocate(size, role);
    if (role == Role::word) {
      card_.advise(made.host, size, Advice::prefer, true);
      card_.advise(made.host, size, Advice::accessed_by, false);
    } else if (role != Role::input || hints_ != Hints::copies_of_inputs) {
      card_.advise(made.host, size, Advice::prefer, false);
    }
    if (role == Role::scratch) card_.start_prefetch(made.host, size, false);
    return made;
  }
  void before_writing(const Bytes& bytes, Role /*role*/) override {
    if (hints_ == Hints::both_ways) card_.prefetch(bytes.at.host, bytes.size, true);
  }
  void after_writing(const Bytes& bytes, Role role) override {
    if (role == Role::input && hints_ == Hints::copies_of_inputs)
      card_.advise(bytes.at.host, bytes.size, Advice::read_mostly, false);
    card_.start_prefetch(bytes.at.host, bytes.size, false);
  }
  void before_reading(const Bytes& bytes) override {
    if (hints_ == Hints::both_ways)
      card_.prefetch(bytes.at.host, bytes.size, true);
    else
      wait();
  }

  const Hints hints_;
};

class CopiedMemory : public Bare {
 public:
  using Bare::Bare;

 private:
  Addresses allocate(std::size_t size, Role role) override {
    std::byte* const host = role == Role::scratch ? nullptr : owned(Memory::pinned, size);
    return {host, role == Role::word ? host : owned(Memory::device, size)};
  }
  void after_writing(const Bytes& bytes, Role /*role*/) override {
    card_.start_copy(bytes.at.card, bytes.at.host, bytes.size);
  }
  void before_reading(const Bytes& bytes) override {
    card_.copy(bytes.at.host, bytes.at.card, bytes.size);
  }
};

class PageableMemory final : public CopiedMemory {
 public:
  using CopiedMemory::CopiedMemory;
  void free_arrays() override {
    plain_.clear();
    CopiedMemory::free_arrays();
  }

 private:
  Addresses allocate(std::size_t size, Role /*role*/) override {
    void* const bytes = std::malloc(size);
    if (bytes == nullptr) throw CannotRun("no memory for a peer: try `free -h`");
    plain_.emplace_back(bytes, &std::free);
    return {static_cast<std::byte*>(bytes), owned(Memory::device, size)};
  }

  std::vector<std::unique_ptr<void, decltype(&std::free)>> plain_;
};

class OverSluice final : public ProgramMemory {
 public:
  OverSluice(const Card& card, HostPages pages)
      : ProgramMemory(card),
        pages_(pages),
        space_(need("open a space",
                    Space::open({.software = {.count = 0}, .cuda = {.gpus = {card.gpu()}}}))) {}
  void wait() override { need("wait", fence_.wait()); }
  void free_arrays() override { ranges_.clear(); }

 private:
  Addresses allocate(std::size_t size, Role role) override {
    Range& made = ranges_.emplace_back(
        need("allocate", role == Role::word ? space_.allocate(size, Kind::host)
                                            : space_.allocate(size, Kind::shared, pages_)));
    return {made.data(), made.data()};
  }
  void begin(std::initializer_list<ProgramUse> uses) override {
    ScopeRequest request = space_.on(card_.stream());
    // NOLINTBEGIN(bugprone-use-after-move): each call gives the request itself back
    for (const ProgramUse& use : uses) {
      if (use.writes)
        std::move(request).writes(use.host, use.size);
      else
        std::move(request).reads(use.host, use.size);
    }
    scope_.emplace(need("begin a scope", std::move(request).begin()));
    // NOLINTEND(bugprone-use-after-move)
  }
  void end() override {
    if (scope_) fence_ = need("end a scope", scope_->done());
    scope_.reset();
  }

  const HostPages pages_;
  const Space space_;
  std::vector<Range> ranges_;
  std::optional<StreamScope> scope_;
  Fence fence_;
};

}  // namespace

std::unique_ptr<ProgramMemory> managed_memory(const Card& card) {
  return std::make_unique<Bare>(card);
}
std::unique_ptr<ProgramMemory> hinted_memory(const Card& card, Hints hints) {
  return std::make_unique<HintedMemory>(card, hints);
}
std::unique_ptr<ProgramMemory> copied_memory(const Card& card) {
  return std::make_unique<CopiedMemory>(card);
}
std::unique_ptr<ProgramMemory> pageable_memory(const Card& card) {
  return std::make_unique<PageableMemory>(card);
}
std::unique_ptr<ProgramMemory> sluice_memory(const Card& card, HostPages pages) {
  return std::make_unique<OverSluice>(card, pages);
}

}  // namespace sluice::tool::bench
