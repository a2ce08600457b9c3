// Planted bugs: deliberate mistakes that the tests must find, or they would prove nothing.
//
// Each is a patch, tests/mutants/<suite>/<bug>.patch, applied to a copy of the sources that only
// tests link. The copy has all of them, and includes this header ahead of everything else; the
// environment variable SLUICE_PLANT names the one that is in force in a program.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sluice::planted {

enum class Bug : std::uint8_t {
  none,
#define SLUICE_PLANTED_BUG(name) name,
#include "planted_bugs.hpp"
#undef SLUICE_PLANTED_BUG
};

inline Bug chosen_by_environment() noexcept {
  const char* const name = std::getenv("SLUICE_PLANT");
  if (name == nullptr) return Bug::none;
#define SLUICE_PLANTED_BUG(bug) \
  if (std::string_view(#bug) == name) return Bug::bug;
#include "planted_bugs.hpp"
#undef SLUICE_PLANTED_BUG
  std::fprintf(stderr, "SLUICE_PLANT is '%s', and tests/mutants/ has no bug of that name\n", name);
  std::_Exit(2);
}

inline const Bug chosen = chosen_by_environment();

inline bool is(Bug bug) noexcept { return chosen == bug; }

}  // namespace sluice::planted
