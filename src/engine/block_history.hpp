// The history of a block: launches that named it, accesses of the host, devices that used it in
// turn. Decisions are made from these values; none of them is needed for what a program sees.
#pragma once

#include <atomic>
#include <cstdint>

#include "plan/eviction_order.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {

// Times of launches that named a range or block. Written under the tracker. Eviction reads them
// without it and may see a launch half noted: one block is then out of order for once.
class Stamps {
 public:
  void note(std::uint64_t launch) noexcept {
    const plan::Usage usage = read().after(launch);
    distance_.store(usage.distance, std::memory_order_relaxed);
    last_.store(usage.last, std::memory_order_relaxed);
  }
  [[nodiscard]] plan::Usage read() const noexcept {
    return {last_.load(std::memory_order_relaxed), distance_.load(std::memory_order_relaxed)};
  }

 private:
  std::atomic<std::uint64_t> last_{0};
  std::atomic<std::uint64_t> distance_{0};
};

// The launch, or the answer to a device's access, that holds the claim, if it is one. Its own
// claims are no contention for it.
class Claimant {
 public:
  void set(const void* claimant) noexcept { value_.store(claimant, std::memory_order_relaxed); }
  void clear() noexcept { set(nullptr); }
  [[nodiscard]] bool is(const void* claimant) const noexcept {
    return claimant != nullptr && value_.load(std::memory_order_relaxed) == claimant;
  }

 private:
  std::atomic<const void*> value_{nullptr};
};

// Signs that a reader will come: it was seen coming on the host, or a program asked for a prefetch.
class ReaderSigns {
 public:
  // A reader on the host was seen coming, or is expected.
  void expect() noexcept { expected_.store(true, std::memory_order_relaxed); }
  void forget() noexcept { expected_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool expected() const noexcept { return expected_.load(std::memory_order_relaxed); }

  void note_prefetch(std::uint64_t launches) noexcept {
    prefetched_.store(launches, std::memory_order_relaxed);
  }
  // The number of the last launch before the last prefetch; 0: there was none.
  [[nodiscard]] std::uint64_t prefetched() const noexcept {
    return prefetched_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> prefetched_{0};
  std::atomic<bool> expected_{false};
};

// Signs that a writer on the host has all of a block's memory, or will. Groups of blocks are
// registered with devices when each is filled, in whatever order it came.
class FilledSigns {
 public:
  // It got a huge page at its first store (DensityGuesses).
  void note_guessed() noexcept { guessed_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool guessed() const noexcept { return guessed_.load(std::memory_order_relaxed); }
  void note_filled() noexcept { filled_.store(true, std::memory_order_release); }
  [[nodiscard]] bool filled() const noexcept { return filled_.load(std::memory_order_acquire); }
  // Of the first block of a group. True for the caller that is to have the group registered.
  [[nodiscard]] bool ask() noexcept { return !asked_.exchange(true, std::memory_order_acq_rel); }

 private:
  std::atomic<bool> guessed_{false};
  std::atomic<bool> filled_{false};
  std::atomic<bool> asked_{false};
};

// Accesses answered since bytes or rights were last taken from the host.
class HostAccesses {
 public:
  // Returns true for the first.
  bool note() noexcept { return ++count_ == 1; }
  void forget() noexcept { count_ = 0; }
  [[nodiscard]] bool any() const noexcept { return count_ != 0; }
  // There were so many that a reader wants all of the block.
  [[nodiscard]] bool dense() const noexcept { return count_ > plan::dense_after; }

 private:
  std::uint32_t count_ = 0;
};

// The host often stores to bytes that it loaded before, as where it reads a device's result and
// writes the next input beside it. Then the load takes both rights, and the store needs no answer
// of its own.
class StoreForecast {
 public:
  // A store met a page that the host might read while devices had copies of it.
  void note_store_after_load() noexcept { ++stores_; }
  // Asked for each load that is answered. Now and then the answer is no, to see if stores still
  // follow: where both rights are there, they are not noticed.
  [[nodiscard]] bool suggests_store() noexcept {
    if (stores_ < plan::stores_before_taking) return false;
    if (++taken_ % plan::loads_until_doubt != 0) return true;
    stores_ = plan::stores_before_taking - 1;
    return false;
  }

 private:
  std::uint32_t stores_ = 0;
  std::uint32_t taken_ = 0;
};

// How devices used a block in turn: how often launches on alternating devices took all of it to
// write it, and how many launches of one device have since used it in a lender's memory.
class BorrowHistory {
 public:
  void note_ownership_transfer() noexcept { ++ownership_transfers_; }
  // A launch used it; `borrowed`: in a lender's memory.
  void note_use(bool borrowed) noexcept { uses_ = borrowed ? uses_ + 1 : 0; }
  void note_settled() noexcept { ownership_transfers_ = 0; }
  [[nodiscard]] bool suggests_borrowing() const noexcept {
    return ownership_transfers_ >= plan::borrow_after;
  }
  [[nodiscard]] bool suggests_settling() const noexcept { return uses_ >= plan::settle_after; }

 private:
  std::uint32_t ownership_transfers_ = 0;
  std::uint32_t uses_ = 0;
};

}  // namespace sluice::engine
