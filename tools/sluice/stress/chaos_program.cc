// See stress/chaos_program.hpp. A round takes a few hundred milliseconds: most bugs appear at
// start-up and shutdown, so many short runs find more than a long one.

#include "stress/chaos_program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "os/environment.hpp"
#include "output.hpp"
#include "program/threads.hpp"
#include "report.hpp"
#include "stress/chaos/access.hpp"
#include "stress/chaos/processes.hpp"
#include "stress/chaos/trouble.hpp"
#include "stress/chaos/worker.hpp"
#include "stress/footprint.hpp"
#include "stress/watchdog.hpp"

namespace sluice::tool {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t shared_size = std::size_t{3} << 20;
constexpr std::size_t host_size = std::size_t{256} << 10;
constexpr std::size_t largest_piece = 48;  // pages

struct Plan {
  SpaceOptions space;
  stress::ChaosRecipe recipe;
  int workers = 2;
  std::chrono::milliseconds time{250};
};

Plan draw_plan(const ChaosProgramOptions& options, stress::Random& random) {
  Plan plan;
  stress::ChaosRecipe& recipe = plan.recipe;
  recipe.signals = random.chance(70);
  recipe.restart = random.chance(50);
  recipe.forks = random.chance(60);
  recipe.kills = random.chance(60);
  recipe.stops = random.chance(60);
  recipe.plans = random.chance(60);
  recipe.hangs = random.chance(20);
  SpaceOptions& space = plan.space;
  space.software.count = 1 + static_cast<int>(random.below(3));
  space.software.memory_size = std::size_t{8} << 20;
  space.device_budget = std::size_t{4} << 20;
  const std::uint64_t all_devices = (std::uint64_t{1} << space.software.count) - 1;
  space.software.recoverable_fault_devices = random.chance(30) ? random.below(8) & all_devices : 0;
  // Load on the machine must not be taken for a hanging device, unless devices hang in this round.
  space.software.transfer_timeout = recipe.hangs ? 500ms : std::chrono::milliseconds(120s);
  space.overflow = random.chance(50) ? Overflow::map_host : Overflow::refuse;
  const Grade drawn = random.chance(60)   ? Grade::full
                      : random.chance(50) ? Grade::user
                                          : Grade::signal;
  space.best_grade = std::min(drawn, options.best_grade);
  plan.workers = 2 + static_cast<int>(random.below(2));
  plan.time = std::chrono::milliseconds(100 + random.below(500));
  return plan;
}

class Program {
 public:
  Program(const ChaosProgramOptions& options, stress::Watchdog& watchdog,
          stress::Findings& findings)
      : options_(options), watchdog_(watchdog), findings_(findings) {}

  void run(const Plan& plan, stress::Random& random);
  [[nodiscard]] Json in_words() const;

 private:
  void allocate(const Space& space, stress::Random& random, std::size_t workers);
  void work(const Space& space, const Plan& plan);
  void expect_nothing_held(const Space& space);

  const ChaosProgramOptions& options_;
  stress::Watchdog& watchdog_;
  stress::Findings& findings_;
  stress::ChaosState state_;
  stress::ChaosCounts counts_;
  std::vector<Range> ranges_;
  std::vector<std::vector<stress::ChaosPiece>> pieces_;  // of each worker
  std::string grade_;
  std::uint64_t operations_ = 0;
};

// Pieces of all workers lie between each other in every block.
void Program::allocate(const Space& space, stress::Random& random, std::size_t workers) {
  pieces_.resize(workers);
  const auto cut = [&](Range range, stress::ChaosPiece::Use use) {
    for (std::size_t offset = 0; offset < range.size();) {
      const std::size_t size =
          std::min(range.size() - offset, page_size * (1 + random.below(largest_piece)));
      pieces_[random.below(workers)].push_back(
          {.data = range.data() + offset, .size = size, .use = use});
      offset += size;
    }
    ranges_.push_back(std::move(range));
  };
  using Use = stress::ChaosPiece::Use;
  for (int i = 0; i < 3; ++i)
    cut(need("allocate a shared range", space.allocate(shared_size)), Use::anywhere);
  cut(need("allocate a host range", space.allocate(host_size, Kind::host)), Use::in_place);
  cut(need("allocate a range for the host", space.allocate(host_size)), Use::host_only);
  // Each has something of its own to launch on.
  for (std::vector<stress::ChaosPiece>& own : pieces_) {
    Range range = need("allocate a range", space.allocate(largest_piece * page_size));
    own.push_back({.data = range.data(), .size = range.size()});
    ranges_.push_back(std::move(range));
  }
}

void Program::run(const Plan& plan, stress::Random& random) {
  watchdog_.main_does("opening the space");
  const stress::Footprint before = stress::take_footprint();
  {
    const Space space = need("open a space", Space::open(plan.space));
    grade_ = to_string(space.status().grade);
    allocate(space, random, static_cast<std::size_t>(plan.workers));
    work(space, plan);
    watchdog_.main_does("checking the invariants");
    if (const auto broken = space.check()) findings_.violation(*broken);
    watchdog_.main_does("freeing the ranges");
    // If a device died while an operation mapped there, parts may still be mapped.
    for (Range& range : ranges_) {
      const Result<void> freed = space.unmap_and_free(range.release());
      if (!freed) findings_.unexpected_error("free: " + std::string(freed.error().detail()));
    }
    expect_nothing_held(space);
    watchdog_.main_does("closing the space");
  }
  watchdog_.main_does("looking for leaks");
  for (const std::string& leak : stress::leaks_since(before)) findings_.leak(leak);
}

void Program::work(const Space& space, const Plan& plan) {
  std::vector<stress::Progress> progress(static_cast<std::size_t>(plan.workers));
  std::vector<const stress::Progress*> watched;
  std::vector<std::unique_ptr<stress::ChaosWorker>> workers;
  if (plan.recipe.hangs) ++state_.deaths;  // a loaded machine is enough
  for (std::size_t i = 0; i < progress.size(); ++i) {
    watched.push_back(&progress[i]);
    workers.push_back(std::make_unique<stress::ChaosWorker>(
        space, options_.seed * 100 + i, std::move(pieces_[i]), state_, progress[i], findings_));
  }
  {
    const stress::WatchedWorkers watching(watchdog_, watched, [&space](std::uint64_t address) {
      return space.explain(reinterpret_cast<const void*>(address));
    });
    program::Threads threads([this] { state_.stop = true; });
    for (const auto& worker : workers) threads.add([&worker] { worker->run(); });
    const char* const mark = os::environment(stress::mark_variable);
    stress::ChaosTrouble trouble(space, options_.seed, plan.recipe, mark != nullptr ? mark : "",
                                 ranges_.front().data(), threads, state_, counts_, findings_);
    watchdog_.main_does("looking on");
    std::this_thread::sleep_for(plan.time);
    state_.stop = true;
    trouble.end_signals();
    watchdog_.main_does("waiting for the workers");
    threads.end();
    watchdog_.main_does("waiting for the trouble to end");
  }
  watchdog_.main_does("comparing everything");
  for (const auto& worker : workers) worker->check_all();
  for (const stress::Progress& one : progress) {
    for (const auto& count : one.done) operations_ += count.load();
  }
}

void Program::expect_nothing_held(const Space& space) {
  const SpaceStatus status = space.status();
  if (status.ranges != 0 || status.bytes != 0)
    findings_.leak(fmt::format("{} ranges of {} bytes live on after all were freed", status.ranges,
                               status.bytes));
  for (int device = 0; device < space.device_count(); ++device) {
    const auto info = need("device", space.device(device));
    if (info.in_use != 0)
      findings_.leak(fmt::format("{} bytes of device {} are in use after all ranges were freed",
                                 info.in_use, device));
  }
}

Json Program::in_words() const {
  const stress::Findings::Counts counts = findings_.counts();
  return {{"grade", grade_},
          {"operations", operations_},
          {"bytes_checked", state_.checked.load()},
          {"bytes_lost", state_.lost.load()},
          {"launches_failed", state_.failed.load()},
          {"devices_killed", counts_.kills.load()},
          {"devices_stopped", counts_.stops.load()},
          {"devices_reset", counts_.resets.load()},
          {"signals", counts_.signals.load()},
          {"forks", counts_.forks.load()},
          {"wrong_bytes", counts.wrong_bytes},
          {"hangs", counts.hangs},
          {"leaks", counts.leaks},
          {"violations", counts.violations},
          {"unexpected_errors", counts.unexpected_errors},
          {"findings", findings_.in_words()}};
}

}  // namespace

Exit run_chaos_program(const ChaosProgramOptions& options) {
  stress::catch_dying_accesses();
  stress::Random random(options.seed);
  const Plan plan = draw_plan(options, random);
  stress::Findings findings;
  std::unique_ptr<Program> program;
  const auto patience = std::chrono::duration<double>(options.hang_seconds);
  stress::Watchdog watchdog(std::chrono::duration_cast<std::chrono::nanoseconds>(patience),
                            findings, [&] {
                              print_json(program->in_words());
                              std::_Exit(static_cast<int>(finish_output(Exit::found_wrong)));
                            });
  program = std::make_unique<Program>(options, watchdog, findings);
  program->run(plan, random);
  print_json(program->in_words());
  return findings.counts().clean() ? Exit::good : Exit::found_wrong;
}

}  // namespace sluice::tool
