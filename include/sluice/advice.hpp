// Advice: lasting hints about a range or a part of one. Hints never fail for lack of resources;
// they affect speed, never results.
#pragma once

#include <cstdint>
#include <optional>

#include "sluice/location.hpp"

namespace sluice {

enum class AdviceKind : std::uint8_t {
  prefer,  // data stays at `location`: launches elsewhere use it there where they can
  no_preference,
  accessed_by,  // `location` is a device that uses the data where it is, where it can
  not_accessed_by,
  read_mostly,  // prefetch makes copies instead of moving
  not_read_mostly,
};

// The attributes in force at a page.
struct Attributes {
  std::optional<Location> preferred;
  LocationSet accessed_by;
  bool read_mostly = false;

  friend bool operator==(const Attributes&, const Attributes&) noexcept = default;
};

}  // namespace sluice
