// Schedules the handlers. What it does not do: read faults, or know of any.
#include "fault/handler_spin_policy.hpp"

#include <chrono>

#include "os/futex.hpp"

namespace sluice::fault {

void HandlerSpinPolicy::leave() noexcept {
  if (looking_.fetch_sub(1) != 1) return;
  bell_.fetch_add(1);
  // A handler that is about to rest was counted before it stopped looking out, and sees the bell or
  // finds it rung.
  if (resting_.load() != 0) os::futex_wake_one(bell_);
}

bool HandlerSpinPolicy::begin_spin() noexcept {
  if (may_spin_.fetch_sub(1) > 0) return true;
  may_spin_.fetch_add(1);
  return false;
}

bool HandlerSpinPolicy::rest() noexcept {
  if (spinners_ < 2) return false;
  resting_.fetch_add(1);
  const std::uint32_t heard = bell_.load();
  bool rested = false;
  for (int looking = looking_.load(); looking > 1 && !stopping_.load() && !rested;)
    rested = looking_.compare_exchange_weak(looking, looking - 1);
  if (rested) {
    os::futex_wait(bell_, heard, std::chrono::steady_clock::time_point::max());
    looking_.fetch_add(1);
  }
  resting_.fetch_sub(1);
  return rested;
}

void HandlerSpinPolicy::stop() noexcept {
  stopping_.store(true);
  bell_.fetch_add(1);
  os::futex_wake_all(bell_);
}

}  // namespace sluice::fault
