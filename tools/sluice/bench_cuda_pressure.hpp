// Pressure: what moves when a working set is larger than a GPU's budget, against the least that any order of eviction could move.
#pragma once

#include <vector>

#include "bench_report.hpp"

namespace sluice::tool::bench {

[[nodiscard]] std::vector<Case> measure_pressure(const Options& options);

}  // namespace sluice::tool::bench
