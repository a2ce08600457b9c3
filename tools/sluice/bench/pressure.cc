// sluice bench pressure: the bytes that eviction moves, when a working set is two and four times
// the budget.
//
// A sequence of launches, each over one of many equal buffers, which it writes; 32 of them fit.
// Bytes moved are counted, both ways, so the figures do not depend on the machine. The baselines
// know the sequence beforehand. Every launch writes, so each eviction costs them a buffer out and
// each return a buffer in, as in Sluice.
//
//   pressure_SHAPE_Nx/optimum    over the least that any order of eviction moves: it evicts what is used again last (Belady, 1966)
//   pressure_SHAPE_Nx/likeliest  over what moves when the likeliest buffers stay, by the true probabilities
//
//   cyclic  one buffer after the other: the worst case of eviction by last use
//   scan    three quarters of what fits are used at every step, which then goes through half as much of the rest, in turns
//   phases  500 launches over as many buffers as nearly fit, then over others: the worst case of eviction by reuse
//   skewed  each buffer drawn by itself by Zipf's law (exponent 1.1). Nothing in the past of such a sequence says more of its future than
//           the probabilities do, so no order that does not know the future is expected to move less than the likeliest baseline, and the
//           optimum is out of reach of all of them. Programs are not like that; it is here because others measure it.
//
// On software GPUs with buffers of 2 MiB; `sluice bench cuda` has the same cases. Takes some 10 s.
// What it does not do: measure time.
#include "bench/pressure.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "base/types.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t launches = 2000;
using Sequence = std::vector<std::size_t>;

Sequence cyclic(std::size_t buffers) {
  Sequence sequence;
  sequence.reserve(launches);
  for (std::size_t i = 0; i < launches; ++i) sequence.push_back(i % buffers);
  return sequence;
}

Sequence scan(std::size_t buffers) {
  constexpr std::size_t hot = pressed_buffers * 3 / 4;
  Sequence sequence;
  for (std::size_t cold = 0; sequence.size() < launches;) {
    for (std::size_t i = 0; i < hot; ++i) sequence.push_back(i);
    for (std::size_t i = 0; i < pressed_buffers / 2; ++i, ++cold)
      sequence.push_back(hot + cold % (buffers - hot));
  }
  sequence.resize(launches);
  return sequence;
}

Sequence phases(std::size_t buffers) {
  constexpr std::size_t at_once = pressed_buffers - 2;
  Sequence sequence;
  sequence.reserve(launches);
  for (std::size_t i = 0; i < launches; ++i)
    sequence.push_back((i / 500 * at_once + i % at_once) % buffers);
  return sequence;
}

Sequence skewed(std::size_t buffers) {
  std::vector<double> weights;
  weights.reserve(buffers);
  for (std::size_t i = 1; i <= buffers; ++i)
    weights.push_back(std::pow(static_cast<double>(i), -1.1));
  std::discrete_distribution<std::size_t> zipf(weights.begin(), weights.end());
  std::mt19937_64 random(1);
  Sequence sequence;
  sequence.reserve(launches);
  for (std::size_t i = 0; i < launches; ++i) sequence.push_back(zipf(random));
  return sequence;
}

// The number of buffers moved if the buffer on the device with the largest key always leaves. `key`
// is called with a buffer and the time of its last use.
std::size_t moves(const Sequence& sequence,
                  const std::function<std::size_t(std::size_t buffer, std::size_t use)>& key) {
  struct Resident {
    std::size_t buffer;
    std::size_t key;
  };
  std::vector<Resident> there;
  std::vector<bool> seen(sequence.size(), false);  // by buffer; there are fewer
  std::size_t moved = 0;
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    const std::size_t buffer = sequence[i];
    auto found = std::ranges::find(there, buffer, &Resident::buffer);
    if (found == there.end()) {
      if (there.size() == pressed_buffers) {
        there.erase(std::ranges::max_element(there, {}, &Resident::key));
        ++moved;
      }
      if (seen[buffer]) ++moved;
      seen[buffer] = true;
      found = there.insert(there.end(), {buffer, 0});
    }
    found->key = key(buffer, i);
  }
  return moved;
}

std::size_t optimum(const Sequence& sequence) {
  constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> next(sequence.size(), never);
  std::vector<std::size_t> upcoming(sequence.size(), never);  // by buffer
  for (std::size_t i = sequence.size(); i-- > 0;) next[i] = std::exchange(upcoming[sequence[i]], i);
  return moves(sequence, [&](std::size_t, std::size_t use) { return next[use]; });
}

// Of a skewed sequence.
std::size_t likeliest(const Sequence& sequence) {
  return moves(sequence, [](std::size_t buffer, std::size_t) { return buffer; });
}

std::size_t bytes_moved(const SpaceOptions& options, std::size_t buffer_size,
                        const Sequence& sequence) {
  const Space space = need("open a space", Space::open(options));
  const Queue queue = need("queue", space.queue(0));
  const Kernel fill = need("fill", queue.kernel("fill"));
  std::vector<Range> buffers;
  const std::size_t buffer_count = std::ranges::max(sequence) + 1;
  buffers.reserve(buffer_count);
  for (std::size_t i = 0; i < buffer_count; ++i)
    buffers.push_back(need("allocate", space.allocate(buffer_size)));
  std::vector<std::uint32_t> expected(buffers.size(), 0);
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    const Range& buffer = buffers[sequence[i]];
    expected[sequence[i]] = static_cast<std::uint32_t>(i + 1);
    // A page is enough: the named bytes move, whatever the kernel touches.
    need("fill", queue.launch(fill)
                     .writes(buffer)
                     .arguments(sluice_soft_fill{reinterpret_cast<std::uint32_t*>(buffer.data()),
                                                 expected[sequence[i]]})
                     .items(page_size / 4)
                     .submit());
  }
  need("wait", space.synchronize());
  const Counters counters = space.counters();
  for (std::size_t i = 0; i < buffers.size(); ++i)
    if (reinterpret_cast<const volatile std::uint32_t*>(buffers[i].data())[1000] != expected[i])
      throw CannotRun("a wrong word was read");
  return counters.bytes_to_host + counters.bytes_to_devices;
}

}  // namespace

std::vector<Case> pressure_on(SpaceOptions options, std::size_t buffer_size) {
  options.device_budget = pressed_buffers * buffer_size;
  const auto gib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  const Goal near_optimum{Goal::Side::at_most, 1.25};
  struct Shape {
    const char* name;
    Sequence (*draw)(std::size_t buffers);
    std::optional<Goal> goal;
  };
  std::vector<Case> results;
  for (const std::size_t times : {std::size_t{2}, std::size_t{4}})
    for (const Shape& shape :
         {Shape{"cyclic", cyclic, {}}, Shape{"scan", scan, {}}, Shape{"phases", phases, {}},
          Shape{"skewed", skewed, near_optimum}}) {
      const Sequence sequence = shape.draw(times * pressed_buffers);
      const std::string name =
          std::string("pressure_") + shape.name + "_" + std::to_string(times) + "x/";
      const double moved = gib(bytes_moved(options, buffer_size, sequence));
      results.push_back(
          {name + "optimum", moved, "GiB", gib(optimum(sequence) * buffer_size), shape.goal});
      if (shape.draw == skewed)
        results.push_back(
            {name + "likeliest", moved, "GiB", gib(likeliest(sequence) * buffer_size), {}});
    }
  return results;
}

std::vector<Case> measure_software_pressure(const Options& options) {
  SpaceOptions space;
  space.best_grade = options.best_grade;
  space.software.count = 1;
  return pressure_on(space, block_size);
}

}  // namespace sluice::tool::bench
