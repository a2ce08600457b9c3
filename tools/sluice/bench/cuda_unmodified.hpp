// `sluice bench cuda-programs`: programs that know nothing of Sluice, each a process of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/bench.hpp"
#include "bench/cuda_card.hpp"

namespace sluice::tool::bench {

// One figure of a program that measures calls by themselves. `better` is the side on which Sluice
// is to be.
struct Figure {
  const char* name;
  const char* unit;
  std::function<double(const Card& card, std::size_t size)> measure;
  double limit;  // of the ratio to the driver's own managed memory
};
[[nodiscard]] const std::vector<Figure>& figures();  // bench/cuda_figures.cc

// The names for --parts.
[[nodiscard]] std::vector<std::string> unmodified_parts();
// In the process of a program: runs it, and prints a line "NAME VALUE" for each figure.
void run_unmodified(const Options& options);

}  // namespace sluice::tool::bench
