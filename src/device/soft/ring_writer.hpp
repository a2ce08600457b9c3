// RingWriter: the client's end of one ring, and the timeline that goes with it.
//
// Cost: submitting about 60 ns while the device's end is awake, 1.5 us more to wake it; poll is one load. Nothing here
// allocates (failures that are asked for late live in mmap'd memory), so fault-handler threads may use all of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "device/device.hpp"
#include "device/soft/control_area.hpp"
#include "device/soft/failure_log.hpp"
#include "device/soft/spin.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft {

class RingWriter {
 public:
  // Before anything else. `lost` becomes true when the device is gone; from then on nothing is taken any more.
  void attach(Ring& ring, const std::atomic<bool>& lost, Spin::Microseconds longest_spin) noexcept {
    ring_ = &ring, lost_ = &lost;
    spin_.set_longest(longest_spin);
  }

  // Hands over `count` commands: write(slot, payload, i) fills in each. The last one's value; nothing when the device is
  // lost, in which case commands handed over already have failed. Waits for room.
  template <typename Write>
  [[nodiscard]] std::optional<std::uint64_t> submit(std::size_t count, Write&& write)
      SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    std::uint64_t value = ring_->tail.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) {
      ++value;
      Slot* slot = claim(value);
      if (slot == nullptr) return std::nullopt;
      write(*slot, ring_->payload(value), i);
      publish(value, *slot);
    }
    return value;
  }

  // One command whose doorbell somebody else rings: `ring(value)`, a Result<void>, once its slot is filled. If that is refused
  // there never was a command. As in submit(), no value means that the device is lost.
  template <typename Write, typename RingDoorbell>
  [[nodiscard]] Result<std::optional<std::uint64_t>> submit_by(Write&& write, RingDoorbell&& ring)
      SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const std::uint64_t value = ring_->tail.load(std::memory_order_relaxed) + 1;
    Slot* slot = claim(value);
    if (slot == nullptr) return std::optional<std::uint64_t>{};
    write(*slot, ring_->payload(value), 0);
    slot->value.store(value, std::memory_order_release);
    const Result<void> rung = ring(value);
    if (!rung && ring_->tail.load() < value) {
      slot->value.store(0, std::memory_order_release);
      return tl::unexpected<Error>(rung.error());
    }
    return std::optional(value);
  }

  [[nodiscard]] FenceState poll(std::uint64_t value) const noexcept;
  // How a command failed; FailureKind::none when it did not, or has not yet.
  [[nodiscard]] Failure failure_of(std::uint64_t value) const noexcept;
  // Until poll(value) is no longer pending or the device is lost (`woken`), the deadline, or a signal.
  [[nodiscard]] os::FutexResult wait(std::uint64_t value, Clock::time_point deadline,
                                     bool interruptible) const noexcept;

  // The device is gone and *lost is true: fails everything pending, wakes everyone, makes the ring fit for a new process.
  void fail_pending(const Failure& failure) noexcept SLUICE_EXCLUDES(mutex_);

  // The newest command, and whether any is still to be completed.
  [[nodiscard]] std::uint64_t newest() const noexcept {
    return ring_->tail.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool idle() const noexcept { return poll(newest()) != FenceState::pending; }

 private:
  [[nodiscard]] Slot* claim(std::uint64_t value) noexcept SLUICE_REQUIRES(mutex_);
  void publish(std::uint64_t value, Slot& slot) noexcept SLUICE_REQUIRES(mutex_);

  Ring* ring_ = nullptr;
  const std::atomic<bool>* lost_ = nullptr;
  mutable Spin spin_;
  mutable RankedMutex mutex_{LockRank::queue, "ring"};
  FailureLog log_;  // appended under mutex_, read without
};

}  // namespace sluice::device::soft
