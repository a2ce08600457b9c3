// RingWriter: the client's end of one ring, and the timeline that goes with it.
//
// The device's end is not trusted. The values submitted and accepted as complete are kept here, in
// this process's own memory; the shared words only bring updates, which must be consistent:
// completions never go back, and never pass the submitted values. So no loop here runs longer than
// a ring has slots, whatever the control area contains, and a reported outcome never changes.
//
// Cost: submitting about 60 ns while the device's end is awake, 1.5 us more to wake it; poll is one
// or two loads. Nothing here allocates (older failures are kept in mmap'd memory), so fault-handler
// threads may use all of it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "device/device.hpp"
#include "device/soft/condition.hpp"
#include "device/soft/control_area.hpp"
#include "device/soft/failure_log.hpp"
#include "device/soft/spin.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft {

class RingWriter {
 public:
  // Called before anything else. When `condition.lost` becomes true the device is gone; from then
  // on no command is accepted.
  void attach(Condition& condition, int ring, Spin::Microseconds longest_spin) noexcept {
    ring_ = &condition.control->rings[static_cast<std::size_t>(ring)];
    condition_ = &condition;
    number_ = ring;
    spin_.set_longest(longest_spin);
  }

  // True if there is room for `count` commands now, or for the first of them if there are more than
  // the ring has slots. wait_for_room() waits for that, or until the device is lost.
  [[nodiscard]] bool has_room(std::size_t count) const noexcept {
    return is_complete(makes_room(count));
  }
  void wait_for_room(std::size_t count) const noexcept {
    (void)wait(makes_room(count), Clock::time_point::max(), false);
  }

  // Hands over `count` commands, which were prepared for one generation of the device:
  // write(slot, payload, i) fills in each. The last one's value; nothing when that generation is
  // lost, in which case commands handed over already have failed. Waits for room.
  template <typename Write>
  [[nodiscard]] std::optional<std::uint64_t> submit(std::size_t count, std::uint32_t generation,
                                                    Write&& write) SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    std::uint64_t value = newest();
    for (std::size_t i = 0; i < count; ++i) {
      ++value;
      Slot* slot = claim(value, generation);
      if (slot == nullptr) return std::nullopt;
      write(*slot, ring_->payload(value), i);
      publish(value, *slot);
    }
    return value;
  }

  // Submits one command; the callback `ring(value)`, a Result<void>, rings the doorbell once its
  // slot is filled. If that is refused there never was a command. As in submit(), no value means
  // that the generation is lost.
  template <typename Write, typename RingDoorbell>
  [[nodiscard]] Result<std::optional<std::uint64_t>> submit_by(std::uint32_t generation,
                                                               Write&& write, RingDoorbell&& ring)
      SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const std::uint64_t value = newest() + 1;
    Slot* slot = claim(value, generation);
    if (slot == nullptr) return std::optional<std::uint64_t>{};
    write(*slot, ring_->payload(value), 0);
    slot->value.store(value, std::memory_order_release);
    newest_.store(value,
                  std::memory_order_release);  // it may be complete before the answer is here
    if (const Result<void> rung = ring(value); !rung) {
      // Refused. After any other error the device is being ended, and the command fails with all
      // that are pending.
      if (rung.error().code() == ErrorCode::invalid_argument) {
        newest_.store(value - 1, std::memory_order_release);
        slot->value.store(0, std::memory_order_release);
      }
      return tl::unexpected<Error>(rung.error());
    }
    return std::optional(value);
  }

  [[nodiscard]] FenceState poll(std::uint64_t value) const noexcept;
  // The failure of a command; FailureKind::none if it did not fail, or has not yet.
  [[nodiscard]] Failure failure_of(std::uint64_t value) const noexcept;
  // Waits until poll(value) is no longer pending or the device is lost (`woken`), the deadline, or
  // a signal.
  [[nodiscard]] os::FutexResult wait(std::uint64_t value, Clock::time_point deadline,
                                     bool interruptible) const noexcept;

  // The device is gone and condition.lost is true: fails everything pending, wakes all waiters, and
  // makes the ring ready for a new process.
  void fail_pending(const Failure& failure) noexcept SLUICE_EXCLUDES(mutex_);

  // Wakes the waiters here, to look again: the device should have done it, and may have lost count
  // of them.
  void nudge() const noexcept;

  // The newest command, and whether any is still to be completed.
  [[nodiscard]] std::uint64_t newest() const noexcept {
    return newest_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool idle() const noexcept { return poll(newest()) != FenceState::pending; }

 private:
  [[nodiscard]] Slot* claim(std::uint64_t value, std::uint32_t generation) noexcept
      SLUICE_REQUIRES(mutex_);
  void publish(std::uint64_t value, Slot& slot) noexcept SLUICE_REQUIRES(mutex_);
  [[nodiscard]] std::uint64_t hear() const noexcept;
  // The command that must be complete for that; 0: none.
  [[nodiscard]] std::uint64_t makes_room(std::size_t count) const noexcept {
    const std::uint64_t last = newest() + std::min(count, slot_count);
    return last > slot_count ? last - slot_count : 0;
  }
  [[nodiscard]] bool is_complete(std::uint64_t value) const noexcept {
    return Ring::value_of(completed_.load(std::memory_order_acquire)) >= value ||
           Ring::value_of(hear()) >= value;
  }

  Ring* ring_ = nullptr;
  Condition* condition_ = nullptr;
  int number_ = 0;
  std::atomic<std::uint64_t> newest_{0};             // handed over; changed under mutex_
  mutable std::atomic<std::uint64_t> completed_{0};  // believed; in the form of Ring::completed
  mutable std::atomic<std::uint32_t> waiting_{0};    // threads in wait()
  mutable Spin spin_;
  mutable RankedMutex mutex_{LockRank::queue, "ring"};
  FailureLog log_;  // appended under mutex_, read without
};

}  // namespace sluice::device::soft
