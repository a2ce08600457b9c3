// sluice stress: everything at once, by many threads, on several devices with too little memory,
// against a model that knows every byte.
//
// Its operations and its model are in stress/worker.hpp and stress/model.hpp. A run is a sequence
// of rounds of a few seconds, each in a space of its own, and in turns each adds one of these:
// launches that are refused because memory is short; devices that map host memory, where excess
// data stays; devices that fetch pages on demand; steps of software devices that fail. In every
// other round Linux drops page-table entries of managed memory at random. In all rounds host
// accesses wait for concurrent kernels. Costs two cores and about four times the working set. A run
// without findings proves nothing by itself, so tests make the engine wrong and check that a run
// finds it.

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "option_values.hpp"
#include "output.hpp"
#include "program/interruption.hpp"
#include "program/text.hpp"
#include "report.hpp"
#include "stress/chaos.hpp"
#include "stress/chaos_program.hpp"
#include "stress/findings.hpp"
#include "stress/handlers.hpp"
#include "stress/mapping.hpp"
#include "stress/round.hpp"
#include "stress/watchdog.hpp"
#include "stress/worker.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double round_seconds = 5;
enum class Turn { refusing, host_mapped, recoverable, failing };
constexpr int turns = 4;
constexpr int usual_entry_drops = 200;  // a second

constexpr double usual_seconds = 60;
constexpr double most_seconds = 1e6;

struct Options {
  std::optional<double> seconds;
  std::optional<int> rounds;
  int threads = 8;
  int devices = 4;
  std::vector<int> cuda;   // GPUs, instead of the software devices
  std::uint64_t seed = 0;  // 0: a new one
  std::size_t working_set = std::size_t{64} << 20;
  std::size_t budget = 0;              // 0: a quarter of the working set
  int recoverable_fault_devices = -1;  // -1: a quarter of them, in every fourth round
  std::vector<std::string> without;
  Grade best_grade = Grade::full;
  HostPages host_pages = HostPages::automatic;
  int handler_changes = 0;
  int entry_drops = -1;  // -1: some, in every other round
  double hang_seconds = 30;
  bool progress = false;
  bool json = false;
  bool mapping = false;
  bool chaos = false;
  bool chaos_program = false;  // this process is one of the programs
};

stress::RoundOptions options_of_round(const Options& options, int round, Clock::time_point end) {
  stress::RoundOptions result;
  result.workers = options.threads;
  result.seed = options.seed + static_cast<std::uint64_t>(round);
  result.without = options.without;
  const int drops_of_this_turn = round % 2 == 0 ? usual_entry_drops : 0;
  result.entry_drops = options.entry_drops >= 0 ? options.entry_drops : drops_of_this_turn;
  result.working_set = options.working_set;
  result.show_progress = options.progress;
  result.end = std::min(end, Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                std::chrono::duration<double>(round_seconds)));
  const std::size_t budget = options.budget != 0 ? options.budget : options.working_set / 4;
  result.space.best_grade = options.best_grade;
  result.space.host_pages = options.host_pages;
  result.space.device_budget = round_up(budget, block_size);
  result.space.software.count = options.devices;
  // The watchdog must find steps without progress; they must not count as a lost device.
  result.space.software.transfer_timeout =
      std::chrono::seconds(static_cast<std::int64_t>(2 * options.hang_seconds) + 1);
  // More memory than budget: the budget is the limit under test.
  result.space.software.memory_size = 2 * result.space.device_budget;
  result.space.host_pool = round % 3 == 2 ? 0 : std::size_t{32} << 20;
  const auto turn = static_cast<Turn>(round % turns);
  result.space.overflow = turn == Turn::refusing ? Overflow::refuse : Overflow::map_host;
  const int of_this_turn = turn == Turn::recoverable ? std::max(1, options.devices / 4) : 0;
  const int recoverable = std::min(options.devices, options.recoverable_fault_devices >= 0
                                                        ? options.recoverable_fault_devices
                                                        : of_this_turn);
  for (int device = 0; device < recoverable; ++device)
    result.space.software.recoverable_fault_devices |= std::uint64_t{1} << device;
  // A kernel dies if its page fault cannot be answered.
  result.steps_fail = turn == Turn::failing && recoverable == 0 && options.cuda.empty();
  if (!options.cuda.empty()) {
    result.space.cuda = {options.cuda, result.space.software.memory_size};
    result.space.software = {.count = 0};
    // Memory that the driver takes for its first work, and addresses of one space that it keeps for
    // the next, are no leak.
    result.may_keep = round == 0;
  }
  return result;
}

// The driver's context stays as long as a space uses it; its memory does not count for a round.
std::optional<Space> keep_the_driver_open(const Options& options) {
  if (options.cuda.empty()) return std::nullopt;
  return need("open a space on the GPUs",
              Space::open({.software = {.count = 0}, .cuda = {options.cuda, block_size}}));
}

stress::MappingRoundOptions mapping_round(const Options& options, int round,
                                          Clock::time_point end) {
  const stress::RoundOptions common = options_of_round(options, round, end);
  stress::MappingRoundOptions result;
  result.workers = options.threads;
  result.seed = common.seed;
  result.end = common.end;
  result.space.software.count = options.devices;
  result.space.software.memory_size = std::size_t{64} << 20;
  // Hanging engines end as lost devices often enough to be worth the wait.
  result.space.software.transfer_timeout = std::chrono::milliseconds(300);
  // Room for three ranges of the relocators on a device, which have more than that.
  result.space.device_budget = std::size_t{20} << 20;
  result.space.stop_interval = std::chrono::milliseconds(2);
  return result;
}

Json in_words(const stress::MappingTotals& totals) {
  return {{"operations", totals.operations.load()},
          {"touches", totals.touches.load()},
          {"interruptions", totals.interruptions.load()},
          {"failures", totals.failures.load()},
          {"devices_lost", totals.losses.load()},
          {"rounds", totals.rounds.load()},
          {"relocations",
           {{"asked", totals.relocations.asked.load()},
            {"refused", totals.relocations.refused.load()},
            {"blocks", totals.relocations.moved.load()},
            {"by_pressure", totals.relocations.pressed.load()},
            {"fills", totals.relocations.fills.load()},
            {"bytes_compared", totals.relocations.bytes.load()},
            {"queue_stops", totals.relocations.stops.load()},
            {"ranges_lost", totals.relocations.lost.load()}}}};
}

Json in_words(const stress::AdviceCounts& counts) {
  Json result = Json::object();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    Json refused = Json::object();
    for (const auto& [error, count] : counts[i].refused) refused[strerrorname_np(error)] = count;
    result[stress::advice_names[i]] = {{"followed", counts[i].followed}, {"refused", refused}};
  }
  return result;
}

// The result of a run, so far as it came.
Json report(const Options& options, const stress::Findings& findings, const stress::Totals& totals,
            double seconds) {
  const stress::Findings::Counts counts = findings.counts();
  Json result = {{"stress", !counts.clean()                ? "FAIL"
                            : program::interruption() != 0 ? "INTERRUPTED"
                                                           : "PASS"},
                 {"operations", totals.operations},
                 {"bytes_checked", totals.bytes_checked},
                 {"wrong_bytes", counts.wrong_bytes},
                 {"hangs", counts.hangs},
                 {"leaks", counts.leaks},
                 {"violations", counts.violations},
                 {"unexpected_errors", counts.unexpected_errors},
                 {"findings", findings.in_words()},
                 {"seed", options.seed},
                 {"seconds", seconds},
                 {"rounds", totals.rounds},
                 {"threads", options.threads},
                 {"devices", options.devices},
                 {"recoverable_fault_devices", options.recoverable_fault_devices >= 0
                                                   ? Json(options.recoverable_fault_devices)
                                                   : Json("mixed")},
                 {"working_set", options.working_set},
                 {"budget", options_of_round(options, 0, {}).space.device_budget},
                 {"grade", to_string(totals.status.grade)},
                 {"grade_reason", totals.status.grade_reason},
                 {"machine", machine_facts()}};
  Json& done = result["by_operation"] = Json::object();
  Json& refused = result["refused"] = Json::object();
  Json& slowest = result["slowest_ms"] = Json::object();
  for (std::size_t i = 0; i < stress::Worker::operation_names().size(); ++i) {
    const char* name = stress::Worker::operation_names()[i];
    done[name] = totals.done[i];
    slowest[name] = static_cast<double>(totals.slowest[i]) * 1e-6;
    if (totals.refused[i] != 0) refused[name] = totals.refused[i];
  }
  result["entry_drops"] = followed(totals.advice);
  result["advice"] = in_words(totals.advice);
  result["space"] = {{"cpu_faults", totals.counters.cpu_faults},
                     {"gpu_faults", totals.counters.gpu_faults},
                     {"launches", totals.counters.launches},
                     {"evicted_blocks", totals.counters.evicted_blocks},
                     {"bytes_to_host", totals.counters.bytes_to_host},
                     {"bytes_to_devices", totals.counters.bytes_to_devices},
                     {"bytes_between_devices", totals.counters.bytes_between_devices},
                     {"borrowed_blocks", totals.counters.borrowed_blocks}};
  return result;
}

void print_for_people(const Json& result) {
  fmt::print("{} operations in {:.1f} s and {} rounds by {} threads on {} devices, grade {}\n",
             result["operations"].get<std::uint64_t>(), result["seconds"].get<double>(),
             result["rounds"].get<int>(), result["threads"].get<int>(),
             result["devices"].get<int>(), result["grade"].get<std::string>());
  if (result.contains("mapping")) fmt::print("mapping: {}\n", result["mapping"].dump());
  fmt::print("{} compared; {} host faults, {} launches, {} blocks evicted\n",
             bytes_in_words(result["bytes_checked"].get<std::size_t>()),
             result["space"]["cpu_faults"].get<std::uint64_t>(),
             result["space"]["launches"].get<std::uint64_t>(),
             result["space"]["evicted_blocks"].get<std::uint64_t>());
  for (const char* what : {"wrong_bytes", "hangs", "leaks", "violations", "unexpected_errors"}) {
    fmt::print("  {:18} {}\n", what, result[what].get<std::uint64_t>());
  }
  const std::string verdict = result["stress"].get<std::string>();
  if (verdict == "INTERRUPTED") {
    fmt::print("Nothing was wrong so far. The same operations again: sluice stress --seed {}\n",
               result["seed"].get<std::uint64_t>());
  } else if (verdict != "PASS") {
    fmt::print("The findings are above. The same operations again: sluice stress --seed {}\n",
               result["seed"].get<std::uint64_t>());
  }
  fmt::print("stress: {}\n", verdict);
  std::fflush(stdout);
}

Exit run_stress(Options options) {
  if (options.seed == 0) options.seed = std::random_device()() | 1U;
  options.progress = options.progress || isatty(STDERR_FILENO) != 0;
  if (options.chaos_program)
    return run_chaos_program({options.seed, options.best_grade, options.hang_seconds});
  if (options.chaos)
    return run_chaos({.seed = options.seed,
                      .rounds = options.rounds,
                      .seconds = options.seconds,
                      .best_grade = options.best_grade,
                      .hang_seconds = options.hang_seconds,
                      .progress = options.progress,
                      .json = options.json});
  if (!options.cuda.empty()) options.devices = static_cast<int>(options.cuda.size());
  const std::optional<Space> keeper = keep_the_driver_open(options);
  stress::Findings findings;
  stress::Totals totals;
  stress::MappingTotals mapping;
  const Clock::time_point begin = Clock::now();
  const auto tell = [&] {
    Json result = report(options, findings, totals, seconds_between(begin, Clock::now()));
    if (options.mapping) result["mapping"] = in_words(mapping);
    if (options.json)
      print_json(result);
    else
      print_for_people(result);
  };
  const auto patience = std::chrono::duration<double>(options.hang_seconds);
  stress::Watchdog watchdog(std::chrono::duration_cast<std::chrono::nanoseconds>(patience),
                            findings, [&tell] {
                              try {
                                tell();
                              } catch (const std::exception&) {  // stdout is full
                              }
                              // A hanging thread cannot be cleaned up.
                              std::_Exit(static_cast<int>(finish_output(Exit::found_wrong)));
                            });
  const stress::HandlerChanges handler_changes(options.handler_changes);
  const Clock::time_point end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                  options.seconds.value_or(options.rounds ? most_seconds : usual_seconds)));
  program::watch_for_interruption();
  for (int round = 0; Clock::now() < end && findings.counts().clean() &&
                      program::interruption() == 0 && round < options.rounds.value_or(INT_MAX);
       ++round) {
    if (options.mapping)
      stress::run_mapping_round(mapping_round(options, round, end), watchdog, findings, mapping);
    else
      stress::run_round(options_of_round(options, round, end), watchdog, findings, totals);
  }
  tell();
  if (!findings.counts().clean()) return Exit::found_wrong;
  if (program::interruption() != 0 && finish_output(Exit::good) == Exit::good)
    program::end_by(program::interruption());
  return Exit::good;
}

}  // namespace

void add_stress(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("stress",
                         "Do everything at once, at random, by many threads on several devices "
                         "with too little memory, and compare every byte "
                         "with a model that knows what it must be.");
  verb->add_option("--seconds", options->seconds, "How long (default 60)")
      ->check(CLI::Range(0.1, most_seconds));
  verb->add_option("--rounds", options->rounds,
                   "How many rounds, instead or at most (with --chaos default 400)")
      ->check(CLI::Range(1, 1000000));
  verb->add_option("--threads", options->threads, "Host threads")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb->add_option("--devices", options->devices, "Software devices")
      ->check(CLI::Range(1, max_devices))
      ->capture_default_str();
  verb->add_option(
          "--cuda", options->cuda,
          "NVIDIA GPUs instead of software devices, as in 0,1; 0,0 is two devices on one GPU")
      ->delimiter(',');
  verb->add_option("--seed", options->seed, "Repeat a run's random choices (default: new ones)");
  add_size(*verb, "--working-set", options->working_set, std::size_t{1} << 20, std::size_t{1} << 36,
           "Bytes of managed memory (default 64 MiB)");
  add_size(*verb, "--budget", options->budget, block_size, std::size_t{1} << 36,
           "Bytes of each device that ranges may take (default: a quarter of the working set)");
  verb->add_option("--recoverable-fault-devices", options->recoverable_fault_devices,
                   "How many of the devices take page faults (default: a quarter of them, in every "
                   "other round)")
      ->check(CLI::Range(0, max_devices));
  add_grade(*verb, "--grade,--source", options->best_grade, "Use no better grade than this");
  verb->add_option_function<std::string>(
          "--host-pages",
          [options](const std::string& name) {
            options->host_pages = name == "small" ? HostPages::small : HostPages::transparent;
          },
          "Pages of host memory (default: what Sluice chooses on this machine)")
      ->check(CLI::IsMember({"small", "transparent"}));
  verb->add_option("--handler-changes", options->handler_changes,
                   "Set handlers of SIGSEGV meanwhile, this often a second (in grade signal: under "
                   "`sluice run --guard`)")
      ->check(CLI::Range(0, 100000));
  verb->add_option("--entry-drops", options->entry_drops,
                   "Take page-table entries of managed memory away, this often a second, as Linux "
                   "does under pressure\n(default: 200, in every other round)")
      ->check(CLI::Range(0, 100000));
  verb->add_option("--without", options->without,
                   "Leave these operations out, to narrow a finding down")
      ->delimiter(',')
      ->check(CLI::IsMember(std::set<std::string>(stress::Worker::operation_names().begin(),
                                                  stress::Worker::operation_names().end())));
  verb->add_option("--hang-seconds", options->hang_seconds,
                   "An operation that takes longer is a hang")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  verb->add_flag(
      "--mapping", options->mapping,
      "Map and unmap ranges on all devices instead, under signals, injected failures and "
      "dying devices, and check each report by touching from every device");
  CLI::Option* const chaos = verb->add_flag(
      "--chaos", options->chaos,
      "Run many short programs instead, and kill, stop, signal and fork them, their devices and "
      "their threads at random; each must be right and leave nothing behind");
  for (const char* name : {"--threads", "--devices", "--cuda", "--working-set", "--budget",
                           "--recoverable-fault-devices", "--host-pages", "--handler-changes",
                           "--without", "--mapping"})
    chaos->excludes(verb->get_option(name));  // each program draws its own
  verb->add_flag("--chaos-program", options->chaos_program, "One of those programs")->group("");
  verb->add_flag("--progress", options->progress,
                 "Report progress on stderr, also when that is no terminal");
  verb->add_flag("--json", options->json, "Print one JSON object");
  verb->footer(
      "Status 0 only if no byte was wrong and nothing hung, leaked, or broke an invariant. Ctrl-C "
      "ends the round and tells what it saw until then; a second one ends the process at once.\n"
      "Examples:\n"
      "  sluice stress --seconds 60 --threads 8 --devices 4 --json\n"
      "  sluice stress --mapping --seconds 60  the mapping contract\n"
      "  sluice stress --chaos --rounds 400    kills, stops, signals, forks, at random\n"
      "  sluice stress --seed 4711             the choices of an earlier run again\n"
      "  sluice stress --without lease,advise  is it one of these?\n"
      "  sluice stress --budget 4MiB           next to no device memory: all eviction\n"
      "  sluice stress --recoverable-fault-devices 4\n"
      "                                        every device fetches pages on demand\n"
      "  sluice run --guard -- sluice stress --source signal --handler-changes 200");
  verb->callback([options, &chosen] { chosen = [options] { return run_stress(*options); }; });
}

}  // namespace sluice::tool
