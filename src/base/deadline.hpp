// Deadline: when a wait gives up, if ever; and its construction from timeouts.
//
// Timeouts come from programs, which write "no limit" as the largest value of whatever type they
// have. Adding such a value to the present, or multiplying it into a finer unit, overflows and
// gives a moment in the past: so both saturate here, and nothing else in the tree computes `now +
// timeout` from a number that a program chose.
//
// A deadline is absolute. A loop that goes on after a signal asks it again for the time left, and
// so does not start anew.
#pragma once

#include <chrono>
#include <climits>

#include "sluice/timeout.hpp"

namespace sluice {

// A timeout that is as good as endless. It may be multiplied by 29 in nanoseconds.
inline constexpr std::chrono::milliseconds longest_timeout = std::chrono::hours(24 * 365 * 10);

// A timeout that is safe to compute with: at most `longest_timeout`.
[[nodiscard]] constexpr std::chrono::milliseconds bounded(
    std::chrono::milliseconds timeout) noexcept {
  return timeout < longest_timeout ? timeout : longest_timeout;
}

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  // No deadline: the wait goes on without limit.
  constexpr Deadline() noexcept = default;
  // Clock::time_point::max() is none.
  constexpr explicit Deadline(Clock::time_point at) noexcept : at_(at) {}
  // The deadline that far from now; none if the clock cannot express it. Below zero: passed.
  template <typename Rep, typename Period>
  [[nodiscard]] static Deadline after(std::chrono::duration<Rep, Period> timeout) noexcept {
    return from(Clock::now(), timeout);
  }
  template <typename Rep, typename Period>
  [[nodiscard]] static constexpr Deadline from(
      Clock::time_point begin, std::chrono::duration<Rep, Period> timeout) noexcept {
    const auto wanted = saturated<Clock::duration>(timeout);
    if (wanted <= Clock::duration::zero()) return Deadline(begin);
    return wanted >= Clock::time_point::max() - begin ? Deadline() : Deadline(begin + wanted);
  }

  [[nodiscard]] constexpr bool is_none() const noexcept { return at_ == Clock::time_point::max(); }
  [[nodiscard]] bool has_passed() const noexcept { return !is_none() && Clock::now() >= at_; }
  [[nodiscard]] constexpr Clock::time_point time() const noexcept { return at_; }

  // The time left, as poll(2) takes it: -1 without limit, else rounded up to milliseconds. A rest
  // beyond INT_MAX is cut, so the caller checks has_passed() when poll says that the time is over.
  [[nodiscard]] int poll_timeout() const noexcept {
    if (is_none()) return -1;
    const auto now = Clock::now();
    if (now >= at_) return 0;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - now).count();
    return left < INT_MAX ? static_cast<int>(left) : INT_MAX;
  }

 private:
  Clock::time_point at_ = Clock::time_point::max();
};

}  // namespace sluice
