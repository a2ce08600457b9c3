// Covers the time between the loss of a device and the directory's record of it.
//
// A device is lost at once, and its users get an error. loss_accounting.cc finds the bytes that
// existed only there block by block, which takes some milliseconds, or as long as a claim is held.
// No call reports a lost device before that is done: after it, residency() gives the final answer.
// Cost: nothing until a device is lost. What it does not do: give up devices (loss_accounting.cc),
// or make a host access wait (host_access.cc has it come back).
#include "engine/losses.hpp"

#include "engine/contention.hpp"
#include "os/futex.hpp"

namespace sluice::engine {

void DeviceLosses::await_given_up(int device, const device::Wait& how) const noexcept {
  const auto until = how.interruptible ? os::interruptible_until(how.deadline) : how.deadline;
  const std::atomic<std::uint32_t>& given_up = given_up_[device];
  for (std::uint32_t losses = given_up; losses <= resets_[device]; losses = given_up) {
    if (!devices_[device].lost()) return;
    const os::FutexResult woken = os::futex_wait(given_up, losses, until);
    if (woken == os::FutexResult::timed_out) return;
    if (woken == os::FutexResult::interrupted && how.interruptible) return;
  }
}

void DeviceLosses::await_every_loss(const device::Wait& how) const noexcept {
  for (int device = 0; device < devices_.count(); ++device) await_given_up(device, how);
}

Result<void> DeviceLosses::outlive(const Error& error, Location needed, int& losses) const {
  constexpr int most_losses = 1000;
  if (error.code() != ErrorCode::device_lost) return tl::unexpected<Error>(error);
  await_every_loss();
  const bool is_gone = needed.is_device() && devices_[needed.number()].lost();
  if (is_gone || ++losses == most_losses) return tl::unexpected<Error>(error);
  contention::yield();
  return {};
}

void DeviceLosses::note_given_up(int device) noexcept {
  std::atomic<std::uint32_t>& losses = given_up_[device];
  ++losses;
  os::futex_wake_all(losses);
}

}  // namespace sluice::engine
