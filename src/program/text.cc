// Numbers in words. See program/text.hpp.

#include "program/text.hpp"

#include <iterator>

namespace sluice::program {

std::string bytes_in_words(std::size_t bytes) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return value == static_cast<double>(static_cast<std::size_t>(value))
             ? fmt::format("{:.0f} {}", value, units[unit])
             : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace sluice::program
