// In the build over the planted library, SLUICE_PLANT names the bug that this run is to find;
// tests/mapping/mutants.py sets it.
#include "engine/planted.hpp"

#if SLUICE_PLANTED_BUGS
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace sluice::engine::planted {
namespace {

const bool selected_from_environment = [] {
  const char* wanted = std::getenv("SLUICE_PLANT");
  if (wanted == nullptr) return false;
  for (const auto& [name, bug] : mapping_bugs) {
    if (std::string(name) != wanted) continue;
    select(bug);
    return true;
  }
  if (std::string(wanted) != "list") std::fprintf(stderr, "no such bug: %s\n", wanted);
  for (const auto& [name, bug] : mapping_bugs) std::puts(name);
  std::exit(std::string(wanted) == "list" ? 0 : 2);
}();

}  // namespace
}  // namespace sluice::engine::planted
#endif
