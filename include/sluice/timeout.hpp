// Timeouts as programs give them. "No limit" is often written as the largest value of a unit, and
// converting that to a finer unit overflows before any check. So these conversions saturate.
#pragma once

#include <chrono>

namespace sluice {

// The duration in another unit, or the nearest that the unit can express. It is rounded up, so that
// a limit never becomes 0, "no limit".
template <typename To, typename Rep, typename Period>
[[nodiscard]] constexpr To saturated(std::chrono::duration<Rep, Period> from) noexcept {
  using Wide = std::chrono::duration<long double, typename To::period>;
  const long double wide = Wide(from).count();
  if (wide >= static_cast<long double>(To::max().count())) return To::max();
  if (wide <= static_cast<long double>(To::min().count())) return To::min();
  return std::chrono::ceil<To>(from);
}

// Milliseconds that any duration can be assigned to, also std::chrono::hours::max().
struct Timeout : std::chrono::milliseconds {
  constexpr Timeout() noexcept : std::chrono::milliseconds(0) {}
  template <typename Rep, typename Period>
  constexpr Timeout(
      std::chrono::duration<Rep, Period> timeout) noexcept  // NOLINT(google-explicit-constructor)
      : std::chrono::milliseconds(saturated<std::chrono::milliseconds>(timeout)) {}
};

}  // namespace sluice
