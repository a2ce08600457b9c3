// Fences: the engine's points in time as values that keep their space open.
#include "sluice/fence.hpp"

#include "base/deadline.hpp"
#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {
bool Fence::done() const noexcept {
  const os::Uncancelled whole_call;
  return engine_ == nullptr || engine_->poll(Inside::fence(*this)) != device::FenceState::pending;
}

bool Fence::failed() const noexcept {
  const os::Uncancelled whole_call;
  return engine_ != nullptr && engine_->poll(Inside::fence(*this)) == device::FenceState::failed;
}

Result<void> Fence::wait(OnSignal on_signal) const {
  return wait_until(Clock::time_point::max(), on_signal);
}

Result<void> Fence::wait_for(std::chrono::nanoseconds timeout, OnSignal on_signal) const {
  return wait_until(Deadline::after(timeout).time(), on_signal);
}

Result<void> Fence::wait_until(Clock::time_point deadline, OnSignal on_signal) const {
  const os::Uncancelled whole_call;
  if (engine_ == nullptr) return {};
  return engine_->wait(Inside::fence(*this), {deadline, on_signal == OnSignal::return_interrupted});
}

}  // namespace sluice
