// Ends freed ranges behind the program's back.
//
// To give back gigabytes takes Linux, and a driver that had registered them, tens of milliseconds,
// which a program need not wait for. Cost: a place in a ring; a caller that needs the memory at once
// waits for the thread. What it does not do: decide which ranges are worth it, or wait for users of
// a range (allocator.cc does both).
#include "engine/disposal.hpp"

#include <chrono>

#include "os/futex.hpp"

namespace sluice::engine {

Result<void> Disposal::start() {
  const auto end = [this](Range* const& given) {
    const std::size_t size = given->pages.size;
    dispose_(std::unique_ptr<Range>(given));
    pending_.fetch_sub(size, std::memory_order_relaxed);
    ended_.fetch_add(1, std::memory_order_release);
    os::futex_wake_all(ended_);
  };
  return worker_.start("sluice-free", end, idle_);
}

std::unique_ptr<Range> Disposal::take(std::unique_ptr<Range> range) noexcept {
  const std::size_t size = range->pages.size;
  if (pending_.fetch_add(size, std::memory_order_relaxed) + size <= most_pending) {
    const bool added = worker_.add([&] {
      taken_.fetch_add(1, std::memory_order_relaxed);
      return range.release();
    });
    if (added) return nullptr;
  }
  pending_.fetch_sub(size, std::memory_order_relaxed);
  return range;
}

bool Disposal::finish() noexcept {
  const std::uint32_t taken = taken_.load(std::memory_order_acquire);
  std::uint32_t ended = ended_.load(std::memory_order_acquire);
  if (ended == taken) return false;
  for (; static_cast<std::int32_t>(taken - ended) > 0;
       ended = ended_.load(std::memory_order_acquire))
    os::futex_wait(ended_, ended, std::chrono::steady_clock::time_point::max());
  return true;
}

}  // namespace sluice::engine
