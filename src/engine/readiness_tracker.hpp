// ReadinessTracker: synchronizes launches that enter with accesses that take pages away.
//
// A launch with nothing to move must cost next to nothing, so it does not look at blocks. It looks
// at counters: how many blocks of the range are not ready on its device. A thread that takes a page
// from a device first tells the tracker, which either answers with the fence of a kernel in the
// way, or marks the block unready. Both happen under one mutex, so either the launch sees the mark,
// or the taker sees the launch. Nothing else is done under it: no copy, no wait, no allocation on
// the fault path.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "engine/range.hpp"
#include "engine/uses.hpp"

namespace sluice::engine {

// Describes rights and pages to be taken from devices, and so which kernels are in the way.
struct RevokeRequest {
  AddressSpan span;  // of one block
  Access access =
      Access::read;    // reading: devices lose the right to write. writing: they lose the pages
  int by_device = -1;  // the taker, if it is a device: its own kernels are ordered by its queues
  DeviceSet
      unmapped{};  // devices that lose their mapping of the block: all their kernels are in the way
  AddressSpan
      overwritten{};  // bytes that come to `by_device`: kernels there may still read older ones
  bool mapping_only = false;  // nothing else is taken
  bool for_good = false;      // the bytes' life ends: every use is in the way
};
// True if a plan only takes rights from the host. No kernel is in its way.
[[nodiscard]] bool takes_from_host_alone(const plan::Plan& plan) noexcept;
// The devices that a plan unmaps the block from.
[[nodiscard]] DeviceSet unmapped_by(const plan::Plan& plan) noexcept;
// The bytes of device memory that a plan writes.
[[nodiscard]] AddressSpan overwritten_by(const plan::Plan& plan, const Block& block) noexcept;
// All that the request's plan takes from others.
[[nodiscard]] RevokeRequest revoke_request_for(const plan::Request& request, const plan::Plan& plan,
                                               const Block& block,
                                               const plan::Abilities& abilities) noexcept;

class ReadinessTracker {
 public:
  explicit ReadinessTracker(const transfer::Timelines& timelines) noexcept
      : timelines_(timelines) {}

  // Holds the tracker while a launch enters.
  class SLUICE_SCOPED_CAPABILITY Entry {
   public:
    explicit Entry(ReadinessTracker& readiness) SLUICE_ACQUIRE(readiness.mutex_)
        : readiness_(readiness) {
      readiness.mutex_.lock();
    }
    ~Entry() SLUICE_RELEASE() { readiness_.mutex_.unlock(); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    ReadinessTracker& readiness_;
  };

  // --- by the holder of an Entry -----------------------------------------------------------------
  // Calls `visit(Block&)` for each block of the span that a launch on `device` may not touch yet;
  // stops when it returns true. Blocks claimed by `claimant` count as ready: it has made them so,
  // and no other thread can change them.
  template <typename Visitor>
  bool find_unready(Range& range, AddressSpan span, int device, Access access, const void* claimant,
                    Visitor&& visit) SLUICE_REQUIRES(mutex_) {
    const auto& unready = range.readiness.unready_[device];
    if ((access == Access::read ? unready.to_read : unready.to_write) == 0) return false;
    const std::size_t last = range.index_of(span.end() - 1);
    for (std::size_t i = range.index_of(span.begin); i <= last; ++i)
      if (!is_ready(range.blocks[i], span, device, access, claimant) && visit(range.blocks[i]))
        return true;
    return false;
  }
  // True if all of every shared range is ready to be written.
  [[nodiscard]] bool every_range_is_ready(int device) const SLUICE_REQUIRES(mutex_);
  // Reserves memory for noting a launch with this many uses of each range that it names. A launch
  // that is under way can then always be noted.
  void reserve(std::size_t uses) SLUICE_REQUIRES(mutex_);
  void reserve(Range& range, std::size_t uses) SLUICE_REQUIRES(mutex_) {
    range.readiness.uses_.reserve(uses);
  }
  void add_use(Range& range, const ActiveUse& use) SLUICE_REQUIRES(mutex_);
  // Notes the newest launch of a queue; with `use.span` everywhere, it may touch every shared
  // range.
  void add_launch(const ActiveUse& use) SLUICE_REQUIRES(mutex_);
  // Visits uses of the span that may be pending, launches on every shared range included. Stops
  // when `visit` returns true.
  template <typename Visitor>
  bool find_use(const Range& range, AddressSpan span, Interest interest, Visitor&& visit) const
      SLUICE_REQUIRES(mutex_) {
    if (range.readiness.uses_.find(span, interest, timelines_, visit)) return true;
    // A kernel cannot reach memory that is younger than its launch, unless it takes page faults.
    const auto if_known = [&](const ActiveUse& use) {
      return (use.recoverable || use.launch > range.readiness.born_) && visit(use);
    };
    return range.kind == Kind::shared && every_.find(span, interest, timelines_, if_known);
  }
  // The latest launch of each queue, independent of its memory.
  [[nodiscard]] const std::vector<ActiveUse>& latest() const SLUICE_REQUIRES(mutex_) {
    return latest_.uses();
  }

  // --- for all others ----------------------------------------------------------------------------
  // Calls `visit(Block&)` for each block of the span that is not ready.
  template <typename Visitor>
  void for_each_unready(Range& range, AddressSpan span, int device, Access access, Visitor&& visit)
      SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    find_unready(range, span, device, access, nullptr, [&](Block& block) {
      visit(block);
      return false;
    });
  }
  // Visits pending uses of the span; stops when `visit` returns true.
  template <typename Visitor>
  void find_pending(const Range& range, AddressSpan span, Visitor&& visit) const
      SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    find_use(range, span, Interest::all,
             [&](const ActiveUse& use) { return timelines_.is_pending(use.fence) && visit(use); });
  }
  // The uses of the range by one launch, as long as the tracker remembers.
  [[nodiscard]] std::vector<ActiveUse> uses_by(const Range& range, device::Fence launch) const
      SLUICE_EXCLUDES(mutex_);
  // A running kernel uses more than its launch named.
  void note_use(Range& range, const ActiveUse& use) SLUICE_EXCLUDES(mutex_);
  // The latest launch of each queue; one of them that is pending.
  [[nodiscard]] std::vector<ActiveUse> latest_launches() const SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] std::optional<ActiveUse> pending_launch() const SLUICE_EXCLUDES(mutex_);
  // Returns when the launch that is entering now has entered: what it notes of itself is there.
  void await_entry() const SLUICE_EXCLUDES(mutex_);

  // --- by the holder of the block's claim --------------------------------------------------------
  // Asks to take pages away from devices. Either a pending use in the way is returned and nothing
  // changed, or the block is unready until refresh().
  [[nodiscard]] std::optional<ActiveUse> take(Range& range, Block& block,
                                              const RevokeRequest& revoke)
      SLUICE_REQUIRES(block.claim) SLUICE_EXCLUDES(mutex_);
  // The block is on no device ready until refresh(), though nothing is taken from one: launches
  // wait for its claim. False: a program's section is open that began before, and may get work
  // meanwhile.
  [[nodiscard]] bool withdraw(Range& range, Block& block) SLUICE_REQUIRES(block.claim)
      SLUICE_EXCLUDES(mutex_);
  // Updates the devices on which the block is ready. Call after every plan.
  void refresh(Range& range, Block& block) SLUICE_REQUIRES(block.claim) SLUICE_EXCLUDES(mutex_);

  // Ranges enter and leave.
  void enter(Range& range) SLUICE_EXCLUDES(mutex_);
  void leave(Range& range) SLUICE_EXCLUDES(mutex_);

 private:
  [[nodiscard]] static bool is_ready(Block& block, AddressSpan span, int device, Access access,
                                     const void* claimant);
  void set_ready(Range& range, Block& block, DeviceSet to_read, DeviceSet to_write)
      SLUICE_REQUIRES(mutex_);
  void count(Range& range, int device, bool reads, bool ready) SLUICE_REQUIRES(mutex_);

  mutable RankedMutex mutex_{LockRank::readiness, "readiness"};
  const transfer::Timelines& timelines_;
  std::uint64_t launches_ SLUICE_GUARDED_BY(mutex_) = 0;
  UseList every_ SLUICE_GUARDED_BY(mutex_);
  UseList latest_ SLUICE_GUARDED_BY(mutex_);
  ByDevice<std::uint32_t> unready_ranges_ SLUICE_GUARDED_BY(mutex_);  // shared, not ready to write
};

}  // namespace sluice::engine
