// Tells the engine what happened on the device: on a thread of the device's own, which may wait for
// fences in the engine's answer without holding up other devices or the notice of deaths.
#include "device/soft/client.hpp"

#include <algorithm>

namespace sluice::device::soft {

void SoftDevice::run_events() noexcept {
  events_id_ = pthread_self();
  while (!closing_.load()) {
    const std::uint32_t seen = control_->events.load();
    if (usable() && condition_.nonsense_on.load() != Condition::sound) end_process();
    for (int ring = first_kernel_ring; ring < ring_count; ++ring) deliver(ring);
    if (loss_news_ == LossNews::untold) deliver_loss();
    if (!closing_.load()) os::futex_wait(control_->events, seen, Clock::time_point::max());
  }
}

void SoftDevice::deliver(int ring_index) noexcept {
  deliver_access_fault(ring_index);
  const Ring& ring = control_->rings[ring_index];
  const std::uint64_t stop = ring.stopped_by.load(std::memory_order_acquire);
  if (stop == 0 || stop == stops_told_[ring_index]) return;
  if (stop > rings_[ring_index].newest()) {
    condition_.distrust(ring_index);
  } else {
    const Fence launch{static_cast<std::int16_t>(options_.number),
                       static_cast<std::uint16_t>(ring_index), stop};
    sink_.device_fatal_fault(options_.number, launch, Address{ring.stop_address.load()},
                             access_of(ring.stop_access.load()), stopped_by_fault(ring_index));
  }
  stops_told_[ring_index] = stop;
  stop_news_.fetch_add(1);
  os::futex_wake_all(stop_news_);
}

// A program that a failed wait has told of a stray access may end at once, so the engine hears of
// the access first. A device that is not sound may name another launch each time: then the time
// ends it.
void SoftDevice::await_stop_told(int ring_index, Clock::time_point until) const noexcept {
  if (pthread_equal(events_id_.load(), pthread_self()) != 0) return;  // in the engine's answer
  constexpr std::chrono::seconds longest{10};
  until = std::min(until, Clock::now() + longest);
  const std::uint64_t stop = control_->rings[ring_index].stopped_by.load(std::memory_order_acquire);
  while (stop != 0 && !condition_.lost.load(std::memory_order_acquire)) {
    const std::uint32_t seen = stop_news_.load();
    if (stops_told_[ring_index].load() >= stop) return;
    if (os::futex_wait(stop_news_, seen, until) == os::FutexResult::timed_out) return;
  }
}

// The address comes from the device: only one that its page table may hold is passed to the engine.
void SoftDevice::deliver_access_fault(int ring_index) noexcept {
  SharedFault& fault = control_->rings[ring_index].fault;
  std::uint32_t posted = fault_posted;
  if (!fault.state.compare_exchange_strong(posted, fault_delivered)) return;
  const std::uint32_t id = fault_id(fault.serial.load(), static_cast<std::uint32_t>(ring_index));
  const Address address{fault.address.load()};
  const std::uint32_t access = fault.access.load();
  if (!asks() || !host_.window.contains(address) ||
      access > static_cast<std::uint32_t>(Access::write)) {
    condition_.distrust(ring_index);
    return;
  }
  sink_.device_access_fault(options_.number, id, address, access_of(access));
}

void SoftDevice::deliver_loss() noexcept {
  sink_.device_lost(options_.number, lost_error().value());
  // Unless the device was reset in that answer, and is lost again.
  std::uint32_t told = LossNews::untold;
  loss_news_.compare_exchange_strong(told, LossNews::none);
  os::futex_wake_all(loss_news_);
}

}  // namespace sluice::device::soft
