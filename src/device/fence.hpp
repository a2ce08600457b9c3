// Fences, and how they are waited for.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::device {

using Clock = std::chrono::steady_clock;

// A point on one of a device's timelines. It completes once, with success or with an error that
// wait() returns.
struct Fence {
  std::int16_t device = -1;  // -1: always complete
  std::uint16_t timeline = 0;
  std::uint64_t value = 0;

  friend bool operator==(const Fence&, const Fence&) noexcept = default;
};

enum class FenceState : std::uint8_t { pending, complete, failed };

struct Wait {
  Clock::time_point deadline = Clock::time_point::max();
  // A signal that this thread handles ends the wait with ErrorCode::interrupted.
  bool interruptible = false;
};

}  // namespace sluice::device
