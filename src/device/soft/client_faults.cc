// The engine's answers to accesses that stall.
//
// An access stalls in its queue's thread of the device process, which looks at one word of the
// control area (shared_fault.hpp); an answer is a store there and a wake-up. What it does not do:
// report accesses (client_events.cc).
#include <algorithm>

#include "device/soft/client.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft {

RecoverableFaults* SoftDevice::recoverable_faults() noexcept { return asks() ? this : nullptr; }

// The kernel that stalls is the one that its queue runs.
Fence SoftDevice::launch_of(std::uint32_t fault) const noexcept {
  const std::uint32_t ring = ring_of_fault(fault);
  if (!usable() || ring >= ring_count) return {};
  return {static_cast<std::int16_t>(options_.number), static_cast<std::uint16_t>(ring),
          control_->rings[ring].running.load(std::memory_order_acquire) & ~Ring::waits};
}

void SoftDevice::answer_fault(std::uint32_t fault, bool resolved) noexcept {
  (void)answer(fault, resolved ? fault_retry : fault_refused);
}

bool SoftDevice::answer(std::uint32_t fault, std::uint32_t with) noexcept {
  const std::uint32_t ring = ring_of_fault(fault);
  if (!usable() || ring >= ring_count) return false;
  SharedFault& shared = control_->rings[ring].fault;
  if (fault_id(shared.serial.load(), ring) != fault) return false;
  std::uint32_t expected = fault_delivered;
  if (!shared.state.compare_exchange_strong(expected, with)) return false;
  os::futex_wake_all(shared.state);
  return true;
}

// The end of the device's process wakes no thread here, so it is polled for now and then.
bool SoftDevice::answer_and_await(std::uint32_t fault, Clock::time_point until) noexcept {
  if (!answer(fault, fault_retry_and_tell)) return false;
  const std::atomic<std::uint32_t>& outcome = control_->rings[ring_of_fault(fault)].fault.outcome;
  while (usable()) {
    const std::uint32_t seen = outcome.load(std::memory_order_acquire);
    if (is_outcome_of(seen, fault)) return has_retired(seen);
    const Clock::time_point now = Clock::now();
    if (now >= until) return false;
    os::futex_wait(outcome, seen, std::min(until, now + std::chrono::milliseconds(50)));
  }
  return false;
}

std::uint32_t SoftDevice::queue_of_fault(std::uint32_t fault) const noexcept {
  return ring_of_fault(fault) - static_cast<std::uint32_t>(first_kernel_ring);
}

}  // namespace sluice::device::soft
