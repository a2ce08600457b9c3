// Kind: the locations where the bytes of a range may live.
#pragma once

#include <cstdint>
#include <string_view>

#include "sluice/export.hpp"

namespace sluice {

enum class Kind : std::uint8_t {
  shared,  // they move to where they are used
  host,    // they stay in host memory; devices reach them there
  // they stay in one device's memory; the host cannot touch them, and copies them in and out
  device,
};
[[nodiscard]] SLUICE_EXPORT std::string_view to_string(Kind kind) noexcept;

}  // namespace sluice
