// Timelines: finds the clock that a fence belongs to, and waits on the engine's own.
//
// Waiting costs a futex call; asking costs one acquire load. A wait ends early only for its
// deadline or, if it may be interrupted, for a signal; the work it waited for goes on in both
// cases.
#include "transfer/timelines.hpp"

#include "device/external_work.hpp"
#include "os/futex.hpp"

namespace sluice::transfer {

void HostTimeline::complete(std::uint64_t value) noexcept {
  completed_.store(value, std::memory_order_release);
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(bell_);
}

Result<void> HostTimeline::wait(std::uint64_t value, const device::Wait& how) const {
  const auto until = how.interruptible ? os::interruptible_until(how.deadline) : how.deadline;
  while (true) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    if (is_complete(value)) return {};
    switch (os::futex_wait(bell_, heard, until)) {
      case os::FutexResult::timed_out:
        return fail(ErrorCode::timed_out, "prefetch %llu is still under way",
                    static_cast<unsigned long long>(value));
      case os::FutexResult::interrupted:
        if (how.interruptible)
          return fail(ErrorCode::interrupted, "a signal ended the wait for a prefetch");
        break;
      case os::FutexResult::woken:
        break;
    }
  }
}

bool Timelines::is_open(device::Fence fence) const noexcept {
  if (!devices_.has(fence.device)) return false;
  const device::ExternalWork* const external = devices_[fence.device].external_work();
  return external != nullptr && !external->orders(fence);
}

device::FenceState Timelines::poll(device::Fence fence) const noexcept {
  if (!devices_.has(fence.device)) {
    if (!check(fence)) return device::FenceState::failed;
    const bool pending =
        fence.device == HostTimeline::device_number && !host.is_complete(fence.value);
    return pending ? device::FenceState::pending : device::FenceState::complete;
  }
  return devices_[fence.device].poll(fence);
}

Result<void> Timelines::check(device::Fence fence) const {
  if (fence.device == HostTimeline::device_number) {
    if (fence.timeline == 0 && fence.value <= host.latest().value) return {};
    return fail(
        ErrorCode::invalid_argument,
        "fence %llu of a prefetch: this space gave out %llu of them; is it another space's?",
        static_cast<unsigned long long>(fence.value),
        static_cast<unsigned long long>(host.latest().value));
  }
  if (fence.device < devices_.count()) return {};
  return fail(ErrorCode::invalid_argument, "a fence of device %d; this space has %d devices",
              fence.device, devices_.count());
}

bool Timelines::may_be_pending(device::Fence fence) const noexcept {
  if (fence.device < 0) return is_pending(fence);
  return devices_[fence.device].may_be_pending(fence);
}

Result<void> Timelines::wait(device::Fence fence, const device::Wait& how) const {
  SLUICE_TRY(check(fence));
  if (fence.device == HostTimeline::device_number) return host.wait(fence.value, how);
  if (fence.device < 0) return {};
  return devices_[fence.device].wait(fence, how);
}

}  // namespace sluice::transfer
