// SourcePlace: a line of a program. It is a std::source_location that every C++20 compiler has:
// clang before 16 lacks that one with GCC's library.
#pragma once

#include <cstdint>

namespace sluice {

struct SourcePlace {
  const char* file = "";
  const char* function = "";
  std::uint32_t line = 0;  // 0: unknown

  // The line of the call, also where the call is a default argument of another one.
  [[nodiscard]] static constexpr SourcePlace current(
      const char* file = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
      std::uint32_t line = __builtin_LINE()) noexcept {
    return {file, function, line};
  }
};

}  // namespace sluice
