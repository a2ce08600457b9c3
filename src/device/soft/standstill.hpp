// Standstill: decides that a ring with work has stood still for so long that it hangs. Pure: the
// caller reads the clock and the ring.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::device::soft {

// A ring hangs when it has work and made no progress for the whole limit, and was seen so several
// times, apart from each other: neither a machine that stood still (suspended, or short of CPU
// time) is evidence against the device, nor looks in quick succession.
class Standstill {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Progress {
    std::uint64_t completed = 0, running = 0, steps = 0;
    friend bool operator==(const Progress&, const Progress&) noexcept = default;
  };

  // Watches a ring from its start on.
  explicit Standstill(TimePoint now = {}) noexcept : since_(now), counted_(now) {}

  // Notes a look at the ring. `may_stand`: it has no work, or waits rightly. True: it hangs.
  [[nodiscard]] bool is_seen(const Progress& progress, bool may_stand,
                             std::chrono::milliseconds limit, TimePoint now) noexcept {
    if (may_stand || progress != progress_) {
      *this = Standstill(now);
      progress_ = progress;
      return false;
    }
    if (now - counted_ < limit / 8) return false;
    counted_ = now;
    return ++looks_ >= enough_looks && now - since_ >= limit;
  }

 private:
  static constexpr int enough_looks = 3;

  Progress progress_;
  TimePoint since_;    // it was seen to move, or to have no work
  TimePoint counted_;  // the last look that counts
  int looks_ = 0;
};

}  // namespace sluice::device::soft
