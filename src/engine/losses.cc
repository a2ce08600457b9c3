// Between the death of a device and the directory's knowing of it.
//
// A device dies at once, and its users are told by an error. What existed only there is found by device_events.cc block by block,
// which takes some milliseconds, or as long as a claim is held. No call tells of a lost device before that has
// happened: after it, residency() has the answer that will stand. Cost: nothing until a device is lost.
// What it does not do: give up devices (device_events.cc), or make a host access wait (host_access.cc has it come back).
#include <thread>

#include "engine/engine.hpp"
#include "os/futex.hpp"

namespace sluice::engine {

void Engine::await_given_up(int device, const device::Wait& how) const noexcept {
  const auto index = static_cast<std::size_t>(device);
  const auto until = how.interruptible ? os::interruptible_until(how.deadline) : how.deadline;
  for (std::uint32_t losses = given_up_[index]; losses <= resets_[index];
       losses = given_up_[index]) {
    if (!devices_[index]->lost()) return;
    const os::FutexResult woken = os::futex_wait(given_up_[index], losses, until);
    if (woken == os::FutexResult::timed_out) return;
    if (woken == os::FutexResult::interrupted && how.interruptible) return;
  }
}

void Engine::await_every_loss(const device::Wait& how) const noexcept {
  for (int device = 0; device < device_count(); ++device) await_given_up(device, how);
}

// Whether a call may try again after the error: a device was lost, and not the one that is needed. Then it succeeds, or learns that
// its bytes are lost. With no claim held.
Result<void> Engine::outlive(const Error& error, Location needed, int& losses) const {
  constexpr int most_losses = 1000;
  if (error.code() != ErrorCode::device_lost) return tl::unexpected<Error>(error);
  await_every_loss();
  const bool is_gone =
      needed.is_device() && devices_[static_cast<std::size_t>(needed.number())]->lost();
  if (is_gone || ++losses == most_losses) return tl::unexpected<Error>(error);
  std::this_thread::sleep_for(Room::moment);
  return {};
}

}  // namespace sluice::engine
