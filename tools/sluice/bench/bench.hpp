// The results of a bench, and the arithmetic that all of them share.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "program/interruption.hpp"
#include "sluice/options.hpp"

namespace sluice::tool::bench {

// The target of a case, for the ratio, or where that says little, for the value itself.
struct Goal {
  enum class Side { at_most, at_least } side;
  double limit;
  enum class Of { ratio, value } of = Of::ratio;
};

struct Case {
  std::string name;
  double value;
  const char* unit;
  double baseline;  // in the same unit, measured in the same run
  std::optional<Goal> goal;

  [[nodiscard]] double ratio() const noexcept { return value / baseline; }
  [[nodiscard]] bool reached() const noexcept;
};

struct Options {
  int rounds = 7;
  Grade best_grade = Grade::full;
  // bench cuda
  std::vector<int> gpus{0};
  std::size_t size = std::size_t{2} << 30;  // bytes of the larger cases
  std::vector<std::string> parts{};         // of bench cuda, by name; none: all of them
  // bench cuda-programs: this process is one of its programs, named so; it prints its own figures
  std::string program{};
  // bench fresh: measure on gpus.front() instead of software GPUs
  bool on_gpu = false;
};

[[nodiscard]] std::vector<Case> measure_faults(const Options& options);  // bench/faults.cc
[[nodiscard]] std::vector<Case> measure_launch(const Options& options);  // bench/launch.cc
[[nodiscard]] std::vector<Case> measure_fresh(const Options& options);   // bench/fresh.cc
[[nodiscard]] std::vector<Case> measure_fresh_on_gpu(
    const Options& options);  // bench/cuda_fresh.cc

[[nodiscard]] std::vector<Case> measure_map(const Options& options);       // bench/map.cc
[[nodiscard]] std::vector<Case> measure_dispatch(const Options& options);  // bench/dispatch.cc
[[nodiscard]] std::vector<Case> measure_kfd(const Options& options);       // bench/kfd.cc
[[nodiscard]] std::vector<Case> measure_tradeoff(const Options& options);  // bench/tradeoff.cc
[[nodiscard]] std::vector<Case> measure_software_pressure(
    const Options& options);  // bench/pressure.cc

[[nodiscard]] std::vector<Case> measure_cuda(const Options& options);  // bench/cuda.cc
[[nodiscard]] std::vector<Case> measure_unmodified(
    const Options& options);  // bench/cuda_unmodified.cc

// True if a part measures another round. After an interruption it keeps the rounds that it has, and
// at least one.
[[nodiscard]] bool goes_on(int round, int rounds) noexcept;

// One warm-up round, then the rounds that count. Each measurement opens its spaces, and closes them
// before the next one opens its own.
template <typename Measurement>
void measure_rounds(Measurement&& measurement, const Options& options, std::vector<Case>& cases) {
  if (program::interruption() != 0) return;
  measurement.round();
  measurement.forget();
  for (int round = 0; goes_on(round, options.rounds); ++round) measurement.round();
  measurement.finish(cases);
}

// One number per round, or many per round; the quantile is taken of a copy.
[[nodiscard]] double quantile(std::vector<double> samples, double which);
[[nodiscard]] inline double median(std::vector<double> samples) {
  return quantile(std::move(samples), 0.5);
}

// A stopwatch on the steady clock. Reading it costs some 25 ns, which cases and baselines pay
// alike.
class Stopwatch {
 public:
  Stopwatch() noexcept : begin_(std::chrono::steady_clock::now()) {}
  [[nodiscard]] double microseconds() const noexcept {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin_)
        .count();
  }

 private:
  std::chrono::steady_clock::time_point begin_;
};

[[nodiscard]] inline double gib_per_second(std::size_t bytes, double microseconds) {
  return static_cast<double>(bytes) / static_cast<double>(std::size_t{1} << 30) /
         (microseconds * 1e-6);
}

}  // namespace sluice::tool::bench
