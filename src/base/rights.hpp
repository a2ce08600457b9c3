// Rights: what a location may do with a page through its own page table.
#pragma once

#include <cstdint>

#include "sluice/access.hpp"

namespace sluice {

enum class Rights : std::uint8_t { none, read, write };  // write includes read

constexpr bool allows(Rights rights, Access access) noexcept {
  return access == Access::read ? rights != Rights::none : rights == Rights::write;
}
constexpr Rights rights_for(Access access) noexcept {
  return access == Access::read ? Rights::read : Rights::write;
}

}  // namespace sluice
