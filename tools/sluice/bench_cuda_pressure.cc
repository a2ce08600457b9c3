// A sequence of launches, each over one of many equal buffers, which it writes. Cyclic: one after the other, the worst case of eviction by
// last use. Skewed: by Zipf's law. The offline optimum knows the whole sequence and evicts what is used again last (Belady, 1966); every
// launch writes, so each eviction costs it a buffer out and each return a buffer in.
//
//   pressure_SHAPE_Nx  bytes moved over what the optimum moves; working set N times the budget
#include "bench_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "report.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t buffer_size = std::size_t{8} << 20;
constexpr std::size_t buffers_in_budget = 32;
constexpr std::size_t launches = 2000;

std::vector<std::size_t> cyclic(std::size_t buffers) {
  std::vector<std::size_t> sequence;
  sequence.reserve(launches);
  for (std::size_t i = 0; i < launches; ++i) sequence.push_back(i % buffers);
  return sequence;
}

std::vector<std::size_t> skewed(std::size_t buffers) {
  std::vector<double> weights;
  weights.reserve(buffers);
  for (std::size_t i = 1; i <= buffers; ++i)
    weights.push_back(std::pow(static_cast<double>(i), -1.1));
  std::discrete_distribution<std::size_t> zipf(weights.begin(), weights.end());
  std::mt19937_64 random(1);
  std::vector<std::size_t> sequence;
  sequence.reserve(launches);
  for (std::size_t i = 0; i < launches; ++i) sequence.push_back(zipf(random));
  return sequence;
}

// Bytes that the best of all orders of eviction moves.
std::size_t optimum(const std::vector<std::size_t>& sequence, std::size_t buffers) {
  constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> next(sequence.size(), never);
  std::vector<std::size_t> upcoming(buffers, never);
  for (std::size_t i = sequence.size(); i-- > 0;) {
    next[i] = upcoming[sequence[i]];
    upcoming[sequence[i]] = i;
  }
  std::vector<std::size_t> resident;  // buffers
  std::vector<std::size_t> used_again(buffers, never);
  std::vector<bool> seen(buffers, false);
  std::size_t moved = 0;
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    const std::size_t buffer = sequence[i];
    used_again[buffer] = next[i];
    if (std::find(resident.begin(), resident.end(), buffer) != resident.end()) continue;
    if (seen[buffer]) moved += buffer_size;
    seen[buffer] = true;
    if (resident.size() == buffers_in_budget) {
      const auto victim = std::max_element(
          resident.begin(), resident.end(),
          [&](std::size_t a, std::size_t b) { return used_again[a] < used_again[b]; });
      moved += buffer_size;
      resident.erase(victim);
    }
    resident.push_back(buffer);
  }
  return moved;
}

std::size_t moved_by_us(const Options& options, const std::vector<std::size_t>& sequence,
                        std::size_t buffer_count) {
  const Space space =
      need("open a space", Space::open({.software = {.count = 0},
                                        .cuda = {.gpus = {options.gpus.front()},
                                                 .memory_size = buffers_in_budget * buffer_size}}));
  const Queue queue = need("queue", space.queue(0));
  const Kernel fill = need("fill", queue.kernel("fill"));
  std::vector<Range> buffers;
  buffers.reserve(buffer_count);
  for (std::size_t i = 0; i < buffer_count; ++i)
    buffers.push_back(need("allocate", space.allocate(buffer_size)));
  std::vector<std::uint32_t> expected(buffer_count, 0);
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    const Range& buffer = buffers[sequence[i]];
    auto* words = reinterpret_cast<std::uint32_t*>(buffer.data());
    expected[sequence[i]] = static_cast<std::uint32_t>(i);
    need("fill", queue.launch(fill)
                     .writes(buffer)
                     .arguments(sluice_soft_fill{words, expected[sequence[i]]})
                     .items(buffer_size / 4)
                     .submit());
  }
  need("wait", space.synchronize());
  const Counters counters = space.counters();
  for (std::size_t i = 0; i < buffer_count; ++i)
    if (reinterpret_cast<const volatile std::uint32_t*>(buffers[i].data())[1000] != expected[i])
      throw CannotRun("a wrong word was read");
  return counters.bytes_to_host + counters.bytes_to_devices;
}

}  // namespace

std::vector<Case> measure_pressure(const Options& options) {
  std::vector<Case> results;
  for (const std::size_t times : {std::size_t{2}, std::size_t{4}}) {
    const std::size_t buffers = times * buffers_in_budget;
    for (const bool is_skewed : {false, true}) {
      const auto sequence = is_skewed ? skewed(buffers) : cyclic(buffers);
      const auto gib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
      std::optional<Goal> goal;
      if (is_skewed) goal = Goal{Goal::Side::at_most, 1.25};
      results.push_back({std::string(is_skewed ? "pressure_skewed_" : "pressure_cyclic_") +
                             std::to_string(times) + "x/optimum",
                         gib(moved_by_us(options, sequence, buffers)), "GiB",
                         gib(optimum(sequence, buffers)), goal});
    }
  }
  return results;
}

}  // namespace sluice::tool::bench
