// SourcePlace: a line of a program. It replaces std::source_location, which clang before 16 lacks
// with GCC's library.
#pragma once

#include <cstdint>

namespace sluice {

struct SourcePlace {
  const char* file = "";
  const char* function = "";
  std::uint32_t line = 0;  // 0: unknown

  // The line of the call; in a default argument, the line that uses the default.
  [[nodiscard]] static constexpr SourcePlace current(
      const char* file = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
      std::uint32_t line = __builtin_LINE()) noexcept {
    return {file, function, line};
  }
};

}  // namespace sluice
