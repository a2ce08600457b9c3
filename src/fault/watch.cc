// Handlers take turns at watching. What it does not do: read faults, or know of any.
#include "fault/watch.hpp"

#include <chrono>

#include "os/futex.hpp"

namespace sluice::fault {

void Watch::leave() noexcept {
  if (watching_.fetch_sub(1) != 1) return;
  bell_.fetch_add(1);
  // Whoever is about to rest was counted before it stopped watching, and hears the bell or finds it rung.
  if (resting_.load() != 0) os::futex_wake_one(bell_);
}

bool Watch::begin_spin() noexcept {
  if (may_spin_.fetch_sub(1) > 0) return true;
  may_spin_.fetch_add(1);
  return false;
}

bool Watch::rest() noexcept {
  if (spinners_ < 2) return false;
  resting_.fetch_add(1);
  const std::uint32_t heard = bell_.load();
  bool rested = false;
  for (int watching = watching_.load(); watching > 1 && !stopping_.load() && !rested;)
    rested = watching_.compare_exchange_weak(watching, watching - 1);
  if (rested) {
    os::futex_wait(bell_, heard, std::chrono::steady_clock::time_point::max());
    watching_.fetch_add(1);
  }
  resting_.fetch_sub(1);
  return rested;
}

void Watch::stop() noexcept {
  stopping_.store(true);
  bell_.fetch_add(1);
  os::futex_wake_all(bell_);
}

}  // namespace sluice::fault
