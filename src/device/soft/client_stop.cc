// Stopping the queues: no kernel begins, and running ones complete.
//
// Programs submit kernels past the engine, so a thread that must move memory which these may use
// has no fence to wait for. The whole mechanism is one word that every queue checks before a
// kernel; control_area.hpp has the protocol. Cost: 2 us for an idle device, else the rest of its
// longest kernel. What it does not do: interrupt a kernel.
#include <thread>

#include "device/soft/client.hpp"

namespace sluice::device::soft {

Result<void> SoftDevice::stop_queues() {
  if (!usable()) return lost_error();
  const PlannedFault planned = plan_.next(Step::stop);
  if (planned.what == PlannedAction::fail)
    return fail(ErrorCode::system, "device %d: stopping its queues failed as planned",
                options_.number);
  if (stopped_.exchange(true))
    return fail(ErrorCode::busy, "device %d: its queues are stopped already", options_.number);
  if (planned.what == PlannedAction::slow)
    std::this_thread::sleep_for(std::chrono::milliseconds(planned.milliseconds));
  if (planned.what == PlannedAction::kill) {
    if (const auto process = child()) process->kill();
  }
  stop_hangs_ = planned.what == PlannedAction::hang;
  control_->stopping.store(1);
  return {};
}

// The first ring on which a kernel runs; -1 if there is none.
int SoftDevice::ring_in_kernel() const noexcept {
  if (stop_hangs_) return first_kernel_ring;
  for (int ring = first_kernel_ring; ring < ring_count; ++ring) {
    const auto index = static_cast<std::size_t>(ring);
    // A kernel is over before its launch is complete, so no kernel runs on a ring without work.
    if (control_->rings[index].in_kernel.load() != 0 && !rings_[index].idle()) return ring;
  }
  return -1;
}

Result<void> SoftDevice::wait_stopped(const Wait& how) const {
  const auto until = how.interruptible ? os::interruptible_until(how.deadline) : how.deadline;
  for (auto woken = os::FutexResult::woken;;) {
    const std::uint32_t seen = control_->rested.load();
    if (!usable()) return lost_error();
    const int ring = ring_in_kernel();
    if (ring < 0) return {};
    if (woken == os::FutexResult::timed_out)
      return fail(ErrorCode::timed_out, "device %d: a kernel on queue %d still runs",
                  options_.number, ring - first_kernel_ring);
    if (woken == os::FutexResult::interrupted && how.interruptible)
      return fail(ErrorCode::interrupted, "a signal ended the wait for the queues of device %d",
                  options_.number);
    woken = os::futex_wait(control_->rested, seen, until);
  }
}

void SoftDevice::restart_queues() noexcept {
  if (mark_.inherited() || !stopped_.exchange(false)) return;
  stop_hangs_ = false;
  control_->stopping.store(0);
  os::futex_wake_all(control_->stopping);
}

}  // namespace sluice::device::soft
