// Fills slots, rings the doorbell, and answers questions about the timeline; control_area.hpp has
// the protocol.
//
// A slot holds the outcome of its command until it is used again; claim() then moves a failure to
// the log. Readers take no lock: they look at the slot, and if another command has taken it, at the
// log, which then has the answer.
#include "device/soft/ring_writer.hpp"

#include <algorithm>
#include <chrono>

namespace sluice::device::soft {

Slot* RingWriter::claim(std::uint64_t value, std::uint32_t generation) noexcept {
  // Room means that the command which had this slot is complete.
  if (value > slot_count)
    static_cast<void>(wait(value - slot_count, Clock::time_point::max(), false));
  if (condition_->lost.load(std::memory_order_acquire) || condition_->generation != generation)
    return nullptr;
  Slot& slot = ring_->slot(value);
  if (const Failure failure = slot.failure.load()) {
    if (value > slot_count) log_.append(value - slot_count, failure);
    slot.value.store(0, std::memory_order_release);
    slot.failure.store({});
  }
  slot.value.store(0, std::memory_order_release);
  slot.operation = Operation::close;
  slot.planned = PlannedAction::nothing;
  slot.continued = false;
  slot.limited = false;
  slot.planned_ms = 0;
  slot.count = 0;
  return &slot;
}

void RingWriter::publish(std::uint64_t value, Slot& slot) noexcept {
  slot.value.store(value, std::memory_order_release);
  newest_.store(value, std::memory_order_release);
  ring_->tail.store(value);
  // One wake is enough for all commands that arrive before the sleeper is up.
  if (ring_->sleeping.load() != 0 && ring_->sleeping.exchange(0) != 0)
    os::futex_wake_one(ring_->sleeping);
}

// Takes over the device's completed value, if it is valid. A value was counted in newest_ before
// the device could see it, so a larger one is invalid; a smaller one was read too early, or is
// invalid but harmless.
std::uint64_t RingWriter::hear() const noexcept {
  const std::uint64_t said = ring_->completed.load();
  std::uint64_t known = completed_.load(std::memory_order_acquire);
  if (Ring::value_of(said) > newest()) {
    condition_->distrust(number_);
    return known;
  }
  while (Ring::value_of(said) > Ring::value_of(known)) {
    const std::uint64_t news = said | (known & Ring::any_failed);
    if (completed_.compare_exchange_weak(known, news, std::memory_order_acq_rel)) return news;
  }
  return known;
}

FenceState RingWriter::poll(std::uint64_t value) const noexcept {
  std::uint64_t completed = completed_.load(std::memory_order_acquire);
  if (Ring::value_of(completed) < value) completed = hear();
  if (Ring::value_of(completed) < value) return FenceState::pending;
  if ((completed & Ring::any_failed) == 0) return FenceState::complete;
  return failure_of(value) ? FenceState::failed : FenceState::complete;
}

Failure RingWriter::failure_of(std::uint64_t value) const noexcept {
  const Slot& slot = ring_->slot(value);
  if (slot.value.load(std::memory_order_acquire) == value) {
    const Failure failure = slot.failure.load();
    if (slot.value.load(std::memory_order_relaxed) == value) return failure;
  }
  return log_.find(value);
}

os::FutexResult RingWriter::wait(std::uint64_t value, Clock::time_point deadline,
                                 bool interruptible) const noexcept {
  const auto over = [&] {
    return is_complete(value) || condition_->lost.load(std::memory_order_acquire);
  };
  if (spin_.until(over)) return os::FutexResult::woken;
  const auto until = interruptible ? os::interruptible_until(deadline) : deadline;
  waiting_.fetch_add(1);
  ring_->client_waiters.fetch_add(1);
  auto woken = os::FutexResult::woken;
  for (;;) {
    const std::uint32_t seen = ring_->wake.load();
    if (over()) {
      woken = os::FutexResult::woken;
      break;
    }
    if (woken == os::FutexResult::timed_out ||
        (woken == os::FutexResult::interrupted && interruptible))
      break;
    woken = os::futex_wait(ring_->wake, seen, until);
  }
  ring_->client_waiters.fetch_sub(1);
  waiting_.fetch_sub(1);
  return woken;
}

void RingWriter::nudge() const noexcept {
  if (waiting_.load() == 0) return;
  ring_->wake.fetch_add(1);
  os::futex_wake_all(ring_->wake);
}

// All known outcomes move into the log, in order, so that the next process's writes to the slots
// change none.
void RingWriter::fail_pending(const Failure& failure) noexcept {
  // A submitter that waits for room holds the lock; it leaves when it sees that the device is lost.
  ring_->wake.fetch_add(1);
  os::futex_wake_all(ring_->wake);

  const MutexLock lock(mutex_);
  const std::uint64_t completed = hear();
  const std::uint64_t newest = this->newest();
  bool any = (completed & Ring::any_failed) != 0;
  for (std::uint64_t value = newest > slot_count ? newest - slot_count + 1 : 1; value <= newest;
       ++value) {
    Slot& slot = ring_->slot(value);
    const bool pending = value > Ring::value_of(completed);
    const Failure end = pending                      ? failure
                        : slot.value.load() == value ? slot.failure.load()
                                                     : Failure{};
    if (end) log_.append(value, end);
    any = any || end;
    slot.value.store(0, std::memory_order_release);
    slot.failure.store({});
  }
  const std::uint64_t all = newest | (any ? Ring::any_failed : 0);
  completed_.store(all, std::memory_order_release);
  ring_->tail.store(newest);
  ring_->completed.store(all);
  ring_->sleeping.store(0);
  ring_->client_waiters.store(waiting_.load());
  ring_->device_waiters.store(0);
  ring_->running.store(0);
  ring_->in_kernel.store(0);
  ring_->stopped_by.store(0);
  ring_->fault.state.store(fault_idle);
  ring_->wake.fetch_add(1);
  os::futex_wake_all(ring_->wake);
}

}  // namespace sluice::device::soft
