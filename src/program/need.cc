// The text of a call that failed. See program/need.hpp.

#include "program/need.hpp"

#include <fmt/core.h>

namespace sluice::program {

void cannot_run(const char* what, const Error& error) {
  throw CannotRun(fmt::format("{}: {} ({})\nTry: sluice doctor", what, error.detail(),
                              to_string(error.code())));
}

}  // namespace sluice::program
