// The parts of `sluice bench cuda`, and their shared declarations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/bench.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::tool::bench {

struct CudaPart {
  std::string name;
  std::vector<Case> (*measure)(const Options& options);
};

// In the order of the report.
[[nodiscard]] const std::vector<CudaPart>& cuda_parts();

[[nodiscard]] std::vector<Case> measure_peers(const Options& options);     // bench/cuda_peers.cc
[[nodiscard]] std::vector<Case> measure_programs(const Options& options);  // bench/cuda_programs.cc
[[nodiscard]] std::vector<Case> measure_pressure(const Options& options);  // bench/cuda_pressure.cc

[[nodiscard]] inline double gb_per_second(std::size_t bytes, double microseconds) {
  return static_cast<double>(bytes) / (microseconds * 1e3);
}

// Launches the built-in kernel "fill" over all of a range, and waits for it.
inline void fill_range(const Queue& queue, Kernel fill, const Range& range, std::uint32_t value) {
  auto* words = reinterpret_cast<std::uint32_t*>(range.data());
  need("wait", need("fill", queue.launch(fill)
                                .writes(range)
                                .arguments(sluice_soft_fill{words, value})
                                .items(range.size() / 4)
                                .submit())
                   .wait());
}

}  // namespace sluice::tool::bench
