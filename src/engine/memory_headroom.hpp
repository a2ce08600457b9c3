// MemoryHeadroom: how much memory the process may still take, so that nothing is held for later
// where little is left: in a memory group Linux ends a process that takes too much, and refuses
// nothing before.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>

#include "os/machine.hpp"

namespace sluice::engine {

// Thread-safe. Allocates; never on a fault-handler thread.
class MemoryHeadroom {
 public:
  // In bytes, as it was 10 ms ago or later: to ask takes 0.1 ms.
  [[nodiscard]] std::size_t bytes() noexcept {
    const Clock::time_point now = Clock::now();
    const Clock::time_point asked{Clock::duration(asked_.load(std::memory_order_acquire))};
    if (now - asked <= std::chrono::milliseconds(10)) return bytes_.load(std::memory_order_relaxed);
    const std::size_t bytes = os::memory_headroom();
    bytes_.store(bytes, std::memory_order_relaxed);
    asked_.store(now.time_since_epoch().count(), std::memory_order_release);
    return bytes;
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::atomic<Clock::rep> asked_{0};
  std::atomic<std::size_t> bytes_{0};
};

}  // namespace sluice::engine
