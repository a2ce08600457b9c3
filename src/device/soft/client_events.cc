// Tells the engine what happened on the device: on a thread of the device's own, which may wait for fences in the
// engine's answer without holding up other devices or the notice of deaths.
#include "device/soft/client.hpp"

namespace sluice::device::soft {

void SoftDevice::run_events() noexcept {
  events_id_ = pthread_self();
  while (!closing_.load()) {
    const std::uint32_t seen = control_->events.load();
    for (int ring = first_kernel_ring; ring < ring_count; ++ring) deliver(ring);
    if (loss_untold_.load() != 0) deliver_loss();
    if (!closing_.load()) os::futex_wait(control_->events, seen, Clock::time_point::max());
  }
}

void SoftDevice::deliver(int ring_index) noexcept {
  Ring& ring = control_->rings[ring_index];
  std::uint32_t posted = fault_posted;
  if (ring.fault.state.compare_exchange_strong(posted, fault_delivered)) {
    const std::uint32_t id =
        fault_id(ring.fault.serial.load(), static_cast<std::uint32_t>(ring_index));
    sink_.device_access_fault(options_.number, id, Address{ring.fault.address.load()},
                              Access{static_cast<std::uint8_t>(ring.fault.access.load())});
  }
  const std::uint64_t stop = ring.stopped_by.load(std::memory_order_acquire);
  if (stop == 0 || stop == stops_told_[ring_index]) return;
  stops_told_[ring_index] = stop;
  const auto access = Access{static_cast<std::uint8_t>(ring.stop_access.load())};
  sink_.device_fatal_fault(options_.number, Address{ring.stop_address.load()}, access,
                           stopped_by_fault(ring_index));
}

void SoftDevice::deliver_loss() noexcept {
  sink_.device_lost(options_.number, lost_error().value());
  loss_untold_.store(0);
  os::futex_wake_all(loss_untold_);
}

}  // namespace sluice::device::soft
