// Programs of the driver's interface as they are, with and without `sluice run --cuda`, in turns.
//
//   PROGRAM/PEER     milliseconds from the first allocation to the last freeing, on plain managed
//                    memory: opening Sluice's space is part of it. PEER is managed (the driver's,
//                    without hints) or hints (the fastest of three ways to hint)
//   FIGURE/managed   one kind of access or call (bench/cuda_figures.cc), the second time in a
//                    process; FIGURE_at_first/managed the first time
//
// The baseline is the driver's managed memory, so Sluice is faster if the ratio is below 1.
#include "bench/cuda_unmodified.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "bench/programs.hpp"
#include "beside.hpp"
#include "device/cuda/driver.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

struct Kind {
  const char* name;
  std::unique_ptr<Program> (*make)(ProgramMemory&, const ProgramKernels&);
};
constexpr std::array kinds{Kind{"cg", conjugate_gradient}, Kind{"jacobi", jacobi},
                           Kind{"bfs", breadth_first}};
constexpr const char* of_figures = "figures";

// --- in the process of a program -----------------------------------------------------------------

void run_figures(std::size_t size) {
  const Card card(0);
  for (const Figure& figure : figures()) {
    const double first = figure.measure(card, size);
    std::printf("%s_at_first %.6f\n%s %.6f\n", figure.name, first, figure.name,
                figure.measure(card, size));
    (void)std::fflush(stdout);
  }
}

std::unique_ptr<ProgramMemory> memory_of(const Card& card, const std::string& hints) {
  if (hints == "to_card") return hinted_memory(card, Hints::to_card);
  if (hints == "both_ways") return hinted_memory(card, Hints::both_ways);
  if (hints == "copies_of_inputs") return hinted_memory(card, Hints::copies_of_inputs);
  return managed_memory(card);
}

void run_program(const Kind& kind, const std::string& hints) {
  Card card(0);
  const ProgramKernels kernels(card);
  const auto memory = memory_of(card, hints);
  const Stopwatch watch;
  std::unique_ptr<Program> program = kind.make(*memory, kernels);
  program->run();
  memory->free_arrays();
  std::printf("time %.6f\n", watch.microseconds() / 1e3);
}

// --- in the process that measures ----------------------------------------------------------------

using Samples = std::map<std::string, std::vector<double>>;

std::string quoted(const std::string& text) {
  std::string all = "'";
  for (const char each : text) all += each == '\'' ? std::string("'\\''") : std::string(1, each);
  return all + "'";
}

// Runs a program once more, and adds its figures.
void run_once(const std::string& program, bool under_sluice, const Options& options,
              Samples& samples) {
  const std::string tool = quoted(this_program().string());
  std::string command = under_sluice ? tool + " run --cuda -- " : "";
  command += tool + " bench cuda-programs --size " + std::to_string(options.size) + " --program " +
             quoted(program);
  std::FILE* const output = popen(command.c_str(), "r");
  if (output == nullptr) throw CannotRun("a program cannot be started");
  char name[64];
  double value = 0;
  while (std::fscanf(output, "%63s %lf", name, &value) == 2) samples[name].push_back(value);
  if (pclose(output) != 0) throw CannotRun("a program failed: " + command);
}

void measure_kind(const Kind& kind, const Options& options, std::vector<Case>& cases) {
  const std::string name = kind.name;
  constexpr std::array hints{"to_card", "both_ways", "copies_of_inputs"};
  Samples ours;
  Samples managed;
  std::array<Samples, hints.size()> hinted;
  for (int round = 0; goes_on(round, options.rounds); ++round) {
    run_once(name, true, options, ours);
    run_once(name, false, options, managed);
    for (std::size_t i = 0; i < hints.size(); ++i)
      run_once(name + ":" + hints[i], false, options, hinted[i]);
  }
  double best = median(hinted[0]["time"]);
  for (Samples& each : hinted) best = std::min(best, median(each["time"]));
  const double value = median(ours["time"]);
  cases.push_back({name + "/managed", value, "ms", median(managed["time"]),
                   Goal{Goal::Side::at_most, 1 / 1.5}});
  cases.push_back({name + "/hints", value, "ms", best, Goal{Goal::Side::at_most, 1}});
}

void measure_figures(const Options& options, std::vector<Case>& cases) {
  Samples ours;
  Samples managed;
  for (int round = 0; goes_on(round, options.rounds); ++round) {
    run_once(of_figures, true, options, ours);
    run_once(of_figures, false, options, managed);
  }
  for (const Figure& figure : figures())
    for (const char* const suffix : {"", "_at_first"}) {
      const std::string name = std::string(figure.name) + suffix;
      std::optional<Goal> goal;
      if (*suffix == 0) goal = Goal{Goal::Side::at_most, figure.limit};
      cases.push_back(
          {name + "/managed", median(ours[name]), figure.unit, median(managed[name]), goal});
    }
}

}  // namespace

std::vector<std::string> unmodified_parts() {
  std::vector<std::string> names;
  for (const Kind& kind : kinds) names.emplace_back(kind.name);
  names.emplace_back(of_figures);
  return names;
}

void run_unmodified(const Options& options) {
  device::cuda::Driver::take_as_programs_do();
  if (options.program == of_figures) return run_figures(options.size);
  const std::size_t colon = std::min(options.program.find(':'), options.program.size());
  for (const Kind& kind : kinds)
    if (options.program.compare(0, colon, kind.name) == 0)
      return run_program(kind, options.program.substr(std::min(colon + 1, options.program.size())));
  throw CannotRun("there is no program " + options.program);
}

std::vector<Case> measure_unmodified(const Options& options) {
  const auto is_wanted = [&](const char* name) {
    return options.parts.empty() ||
           std::find(options.parts.begin(), options.parts.end(), name) != options.parts.end();
  };
  std::vector<Case> cases;
  for (const Kind& kind : kinds) {
    if (!is_wanted(kind.name)) continue;
    if (has_program_kernels())
      measure_kind(kind, options, cases);
    else
      program::complain("sluice bench: {} is left out: this sluice was built without nvcc\n",
                        kind.name);
  }
  if (is_wanted(of_figures)) measure_figures(options, cases);
  return cases;
}

}  // namespace sluice::tool::bench
