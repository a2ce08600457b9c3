// A program under chaos: one space, some workers, trouble, and the last check. `sluice stress
// --chaos` starts many of them, each with a seed that determines everything except timing.
#pragma once

#include <cstdint>
#include <string>

#include "exit.hpp"
#include "sluice/options.hpp"

namespace sluice::tool {

struct ChaosProgramOptions {
  std::uint64_t seed = 0;
  Grade best_grade = Grade::full;
  double hang_seconds = 30;
};

// Prints one JSON object: the counts of operations, and the findings.
[[nodiscard]] Exit run_chaos_program(const ChaosProgramOptions& options);

}  // namespace sluice::tool
