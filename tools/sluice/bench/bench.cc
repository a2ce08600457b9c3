// sluice bench: measures the cost of an access fault and a launch on this machine, each against a
// baseline measured in the same run.
//
// Absolute figures do not compare between machines, but ratios do; so each case takes turns with a
// baseline, the cheapest alternative to it, and the tool reports medians. The cases are described
// at the top of bench/faults.cc, bench/fresh.cc, bench/launch.cc, bench/map.cc, bench/dispatch.cc,
// bench/kfd.cc, bench/pressure.cc, bench/cuda.cc and bench/tradeoff.cc.

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bench/bench.hpp"
#include "bench/cuda.hpp"
#include "bench/cuda_unmodified.hpp"
#include "option_values.hpp"
#include "output.hpp"
#include "program/interruption.hpp"
#include "program/text.hpp"
#include "report.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace bench {

bool Case::reached() const noexcept {
  if (!goal) return true;
  const double measured = goal->of == Goal::Of::ratio ? ratio() : value;
  return goal->side == Goal::Side::at_most ? measured <= goal->limit : measured >= goal->limit;
}

bool goes_on(int round, int rounds) noexcept {
  return round < rounds && (round == 0 || program::interruption() == 0);
}

double quantile(std::vector<double> samples, double which) {
  const auto nth = samples.begin() +
                   static_cast<std::ptrdiff_t>(which * static_cast<double>(samples.size() - 1));
  std::nth_element(samples.begin(), nth, samples.end());
  return *nth;
}

}  // namespace bench

namespace {

using bench::Case;
using bench::Goal;

std::string in_words(const Goal& goal) {
  return fmt::format("{} {} {}", goal.of == Goal::Of::ratio ? "ratio" : "value",
                     goal.side == Goal::Side::at_most ? "<=" : ">=", goal.limit);
}

void print_table(const char* name, const std::vector<Case>& cases) {
  fmt::print("bench {}\n{:36} {:>10} {:6} {:>10} {:>8}  {:14} {}\n", name, "case", "value", "unit",
             "baseline", "ratio", "goal", "verdict");
  for (const Case& result : cases) {
    fmt::print("{:36} {:10.3f} {:6} {:10.3f} {:8.3f}  {:14} {}\n", result.name, result.value,
               result.unit, result.baseline, result.ratio(),
               result.goal ? in_words(*result.goal) : "",
               !result.goal       ? ""
               : result.reached() ? "reached"
                                  : "missed");
  }
  fmt::print("\n");
}

Json json_of(const char* name, const std::vector<Case>& cases) {
  Json results = Json::array();
  for (const Case& result : cases) {
    results.push_back({{"case", result.name},
                       {"value", result.value},
                       {"unit", result.unit},
                       {"baseline", result.baseline},
                       {"ratio", result.ratio()}});
  }
  return {{"bench", name}, {"machine", machine_facts()}, {"results", std::move(results)}};
}

struct Options {
  bench::Options measuring;
  bool json = false;
};

using Measure = std::vector<Case> (*)(const bench::Options&);

void add_one(CLI::App& group, Run& chosen, const char* name, const char* meaning, Measure measure) {
  const auto options = std::make_shared<Options>();
  const bool has_size = measure == bench::measure_cuda || measure == bench::measure_unmodified;
  if (has_size) options->measuring.rounds = 5;
  CLI::App* verb = group.add_subcommand(name, meaning);
  verb->add_option("--rounds", options->measuring.rounds,
                   "Rounds that medians are taken over; 1 for a quick look")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_grade(*verb, "--grade,--source", options->measuring.best_grade,
            "Use no better grade than this");
  verb->add_flag("--json", options->json, "Print one JSON object instead of the table");
  if (has_size)
    add_size(*verb, "--size", options->measuring.size, std::size_t{16} << 20, std::size_t{1} << 35,
             "Bytes of the larger cases (default 2 GiB)");
  if (measure == bench::measure_unmodified) {
    verb->add_option("--parts", options->measuring.parts, "Only these, as in cg,figures")
        ->delimiter(',')
        ->check(CLI::IsMember(bench::unmodified_parts()));
    verb->add_option("--program", options->measuring.program)->group("");
  }
  if (measure == bench::measure_cuda) {
    verb->add_option("--gpus", options->measuring.gpus, "GPUs, as in 0,1 (default 0)")
        ->delimiter(',');
    std::vector<std::string> names;
    for (const bench::CudaPart& part : bench::cuda_parts()) names.push_back(part.name);
    verb->add_option("--parts", options->measuring.parts, "Only these, as in moves,peers")
        ->delimiter(',')
        ->check(CLI::IsMember(names));
  }
  if (measure == bench::measure_fresh) {
    const CLI::callback_t take_gpu = [options](const CLI::results_t& given) {
      options->measuring.on_gpu = true;
      int& gpu = options->measuring.gpus.front();
      return given.front().empty() || (CLI::detail::lexical_cast(given.front(), gpu) && gpu >= 0);
    };
    verb->add_option("--cuda", take_gpu,
                     "Measure on this NVIDIA GPU, beside its managed memory and copies (default 0)")
        ->expected(0, 1)
        ->type_name("GPU");
  }
  verb->callback([=, &chosen] {
    chosen = [=] {
      if (!options->measuring.program.empty()) {
        bench::run_unmodified(options->measuring);
        return Exit::good;
      }
      program::watch_for_interruption();
      const std::vector<Case> cases = measure(options->measuring);
      if (options->json)
        print_json(json_of(name, cases));
      else
        print_table(name, cases);
      if (program::interruption() == 0) return Exit::good;
      program::complain(
          "sluice bench: interrupted; the figures are those of the rounds until then\n");
      if (finish_output(Exit::good) == Exit::good) program::end_by(program::interruption());
      return Exit::good;
    };
  });
}

}  // namespace

void add_bench(CLI::App& app, Run& chosen) {
  CLI::App* verb = app.add_subcommand(
      "bench",
      "Measure what access faults, launches or mappings cost, against baselines of the same run.");
  verb->require_subcommand(1);
  add_one(*verb, chosen, "faults",
          "Access faults, streaming, read-back, prefetch, taking rights away",
          bench::measure_faults);
  add_one(*verb, chosen, "fresh",
          "Memory that did not exist before: first touch, small ranges, bytes held",
          bench::measure_fresh);
  add_one(*verb, chosen, "launch", "What naming memory adds to a launch with nothing to move",
          bench::measure_launch);
  add_one(*verb, chosen, "map", "Mapping on 1 to 64 devices: one call or many, waiting or started",
          bench::measure_map);
  add_one(*verb, chosen, "dispatch", "A user-mode queue against a dispatch call",
          bench::measure_dispatch);
  add_one(*verb, chosen, "kfd",
          "MAP_MEMORY_TO_GPU on 1 to 64 GPUs behind /dev/kfd: one call or one for each",
          bench::measure_kfd);
  add_one(*verb, chosen, "pressure",
          "What eviction moves, against the least that any order could move",
          bench::measure_software_pressure);
  add_one(*verb, chosen, "cuda",
          "NVIDIA GPUs: Sluice against cudaMallocManaged, bare and with hints, and pinned copies",
          bench::measure_cuda);
  add_one(*verb, chosen, "cuda-programs",
          "Programs with cudaMallocManaged under `sluice run --cuda`, against the same without",
          bench::measure_unmodified);
  add_one(*verb, chosen, "tradeoff",
          "Shared allocations, host allocations and explicit copies on every OpenCL device",
          bench::measure_tradeoff);
  verb->footer(
      "Status 0 when it measured, whatever it measured. Ctrl-C ends the round and tells what was "
      "measured until then; a second one ends the process at once.\n"
      "Examples:\n"
      "  sluice bench faults\n"
      "  sluice bench launch --json | jq '.results[] | select(.case == \"launch_idle\") | .value'");
}

}  // namespace sluice::tool
