// Chaos: `sluice stress --chaos`. Many short programs, some at a time, in the middle of kills,
// stops, signals, faults, forks and resets; some are stopped, and some killed, from outside. Each
// must be right as long as it lives, and leave nothing behind.
#pragma once

#include <cstdint>
#include <optional>

#include "exit.hpp"
#include "sluice/options.hpp"

namespace sluice::tool {

struct ChaosOptions {
  std::uint64_t seed = 0;  // of the first round; each has one more than the one before
  std::optional<int> rounds;
  std::optional<double> seconds;  // neither: 400 rounds; both: the first limit reached
  Grade best_grade = Grade::full;
  double hang_seconds = 30;
  bool progress = false;
  bool json = false;
};

[[nodiscard]] Exit run_chaos(const ChaosOptions& options);

}  // namespace sluice::tool
