// Fences: the engine's points in time as values that keep their space open.
#include "sluice/fence.hpp"

#include "face/cpp/inside.hpp"

namespace sluice {
namespace {

// The engine's way to say "without limit" is the last time point, so a timeout that would pass it is no limit either.
Fence::Clock::time_point deadline_after(std::chrono::nanoseconds timeout) {
  const auto now = Fence::Clock::now();
  const auto farthest = Fence::Clock::time_point::max();
  return timeout >= farthest - now ? farthest : now + timeout;
}

}  // namespace

bool Fence::done() const noexcept {
  return engine_ == nullptr || engine_->poll(Inside::fence(*this)) != device::FenceState::pending;
}

bool Fence::failed() const noexcept {
  return engine_ != nullptr && engine_->poll(Inside::fence(*this)) == device::FenceState::failed;
}

Result<void> Fence::wait(OnSignal on_signal) const {
  return wait_until(Clock::time_point::max(), on_signal);
}

Result<void> Fence::wait_for(std::chrono::nanoseconds timeout, OnSignal on_signal) const {
  return wait_until(deadline_after(timeout), on_signal);
}

Result<void> Fence::wait_until(Clock::time_point deadline, OnSignal on_signal) const {
  if (engine_ == nullptr) return {};
  return engine_->wait(Inside::fence(*this), {deadline, on_signal == OnSignal::return_interrupted});
}

}  // namespace sluice
