// One round of a stress run. See stress/round.hpp.

#include "stress/round.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/types.hpp"
#include "program/interruption.hpp"
#include "program/need.hpp"
#include "program/text.hpp"
#include "program/threads.hpp"
#include "stress/dropping.hpp"
#include "stress/footprint.hpp"
#include "stress/trouble.hpp"
#include "stress/worker.hpp"

namespace sluice::stress {
namespace {

constexpr auto glance = std::chrono::milliseconds(50);
// Space::check() stops the blocks that it looks at, so it is not done all the time.
constexpr int glances_between_checks = 6;
constexpr int glances_between_reports = 20;
// Of one device; a software device has 32.
constexpr std::size_t most_queues = 24;

std::uint64_t sum(const std::array<std::atomic<std::uint64_t>, most_operations>& counts) {
  std::uint64_t total = 0;
  for (const auto& count : counts) total += count.load(std::memory_order_relaxed);
  return total;
}

class Round {
 public:
  Round(const RoundOptions& options, Watchdog& watchdog, Findings& findings, Totals& totals)
      : options_(options),
        watchdog_(watchdog),
        findings_(findings),
        totals_(totals),
        progress_(static_cast<std::size_t>(options.workers)) {}

  void run(const Space& space);

 private:
  void make_queues(const Space& space);
  void work(const Space& space, const Model& model);
  void look_on(const Space& space);
  void report_progress() const;
  void compare_what_is_shared(const Space& space, const Model& model);
  void expect_nothing_held(const Space& space);
  void check(const Space& space);
  void add_up(const Space& space);

  const RoundOptions& options_;
  Watchdog& watchdog_;
  Findings& findings_;
  Totals& totals_;
  std::vector<Progress> progress_;
  std::vector<std::vector<Queue>> queues_;  // sets of one of each device; workers take turns
  std::vector<std::unique_ptr<Worker>> workers_;
};

void Round::run(const Space& space) {
  Random random(options_.seed);
  {
    watchdog_.main_does("filling the ranges");
    const Model model(space, {options_.working_set, options_.workers}, random);
    work(space, model);
    watchdog_.main_does("comparing what is shared");
    compare_what_is_shared(space, model);
    watchdog_.main_does("checking the invariants");
    check(space);
    add_up(space);
    workers_.clear();
    queues_.clear();
    watchdog_.main_does("freeing the ranges");
  }
  expect_nothing_held(space);
  check(space);
  watchdog_.main_does("closing the space");
}

// A device has a limited number of queues; that many workers have some of their own, and more share
// them.
void Round::make_queues(const Space& space) {
  const std::size_t sets = std::min(most_queues, static_cast<std::size_t>(options_.workers));
  for (std::size_t i = 0; i < sets; ++i) {
    std::vector<Queue>& set = queues_.emplace_back();
    for (int device = 0; device < space.device_count(); ++device)
      set.push_back(program::need("queue", space.queue(device)));
  }
}

void Round::work(const Space& space, const Model& model) {
  make_queues(space);
  const bool leases = options_.space.software.recoverable_fault_devices == 0;
  // Each worker has one lease at a time, of a part that lies in two blocks at most.
  const std::size_t most_leased = 2 * static_cast<std::size_t>(options_.workers) * block_size;
  const Setting setting{
      .kernel_accesses = space.status().grade == Grade::full,
      .leases = leases,
      .steps_fail = options_.steps_fail,
      .may_not_fit = options_.space.overflow == Overflow::refuse,
      .leases_may_fill = leases && options_.space.device_budget <= most_leased,
      .without = options_.without,
  };
  std::vector<const Progress*> watched;
  for (int i = 0; i < options_.workers; ++i) {
    Progress& progress = progress_[static_cast<std::size_t>(i)];
    progress.since = std::chrono::steady_clock::now().time_since_epoch().count();
    watched.push_back(&progress);
    workers_.push_back(
        std::make_unique<Worker>(i, space, queues_[static_cast<std::size_t>(i) % queues_.size()],
                                 model, setting, options_.seed, progress, findings_));
  }
  const WatchedWorkers watching(watchdog_, watched, [&space](std::uint64_t address) {
    return space.explain(reinterpret_cast<const void*>(address));
  });
  std::atomic<bool> stop{false};
  program::Threads threads([&stop] { stop = true; });
  for (const auto& worker : workers_) threads.add([&stop, &worker] { worker->run(stop); });
  EntryDropping dropping(model.pages(), options_.entry_drops, options_.seed);
  if (options_.steps_fail) threads.add([&] { make_steps_fail(space, options_.seed, stop); });
  look_on(space);
  watchdog_.main_does("waiting for the workers");
  threads.end();
  add(dropping.end(), totals_.advice);
}

void Round::look_on(const Space& space) {
  for (int i = 0; std::chrono::steady_clock::now() < options_.end && findings_.counts().clean() &&
                  program::interruption() == 0;
       ++i) {
    watchdog_.main_does("looking on");
    std::this_thread::sleep_for(glance);
    if (i % glances_between_checks == 0) check(space);
    if (options_.show_progress && i % glances_between_reports == 0) report_progress();
  }
}

void Round::report_progress() const {
  std::uint64_t operations = totals_.operations;
  std::uint64_t bytes = totals_.bytes_checked;
  for (const Progress& progress : progress_) {
    operations += sum(progress.done);
    bytes += progress.bytes_checked.load(std::memory_order_relaxed);
  }
  program::complain("sluice stress: round {}, {} operations, {} compared, {} wrong bytes\n",
                    totals_.rounds + 1, operations, program::bytes_in_words(bytes),
                    findings_.counts().wrong_bytes);
}

void Round::compare_what_is_shared(const Space& space, const Model& model) {
  for (std::size_t i = 0; i < Model::counters; ++i) {
    std::uint64_t expected = 0;
    for (const auto& worker : workers_) expected += worker->added()[i];
    const std::uint64_t got = *model.counter(i);
    totals_.bytes_checked += sizeof got;
    if (got == expected) continue;
    findings_.more_wrong_bytes(1);
    findings_.violation(fmt::format("counter {} is {}, although {} was added in all; round seed {}",
                                    i, got, expected, options_.seed));
  }
  for (const Slice& slice : model.constants()) {
    totals_.bytes_checked += slice.size;
    if (std::memcmp(slice.data(), slice.shadow(), slice.size) == 0) continue;
    const auto [got, expected] =
        std::mismatch(slice.data(), slice.data() + slice.size, slice.shadow());
    if (expected == slice.shadow() + slice.size) {
      findings_.more_wrong_bytes(1);
      findings_.violation(fmt::format("a constant at {} was wrong once; round seed {}",
                                      fmt::ptr(slice.data()), options_.seed));
      continue;
    }
    findings_.wrong_byte(space, slice, static_cast<std::size_t>(expected - slice.shadow()), *got,
                         fmt::format("a constant, round seed {}", options_.seed));
  }
}

void Round::check(const Space& space) {
  if (const auto broken = space.check()) {
    findings_.violation(fmt::format("{}; round seed {}", *broken, options_.seed));
  }
}

void Round::expect_nothing_held(const Space& space) {
  const SpaceStatus status = space.status();
  if (status.ranges != 0 || status.bytes != 0) {
    findings_.leak(fmt::format("{} ranges of {} bytes live on after all were freed", status.ranges,
                               status.bytes));
  }
  for (int device = 0; device < space.device_count(); ++device) {
    const auto info = program::need("device", space.device(device));
    if (info.in_use != 0) {
      findings_.leak(fmt::format("{} bytes of device {} are in use after all ranges were freed",
                                 info.in_use, device));
    }
  }
}

void Round::add_up(const Space& space) {
  for (const Progress& progress : progress_) {
    for (std::size_t i = 0; i < most_operations; ++i) {
      totals_.done[i] += progress.done[i].load(std::memory_order_relaxed);
      totals_.slowest[i] =
          std::max(totals_.slowest[i], progress.slowest[i].load(std::memory_order_relaxed));
      totals_.refused[i] += progress.refused[i].load(std::memory_order_relaxed);
    }
    totals_.operations += sum(progress.done);
    totals_.bytes_checked += progress.bytes_checked.load(std::memory_order_relaxed);
  }
  const Counters counters = space.counters();
  totals_.counters.cpu_faults += counters.cpu_faults;
  totals_.counters.gpu_faults += counters.gpu_faults;
  totals_.counters.launches += counters.launches;
  totals_.counters.evicted_blocks += counters.evicted_blocks;
  totals_.counters.bytes_to_host += counters.bytes_to_host;
  totals_.counters.bytes_to_devices += counters.bytes_to_devices;
  totals_.counters.bytes_between_devices += counters.bytes_between_devices;
  totals_.counters.borrowed_blocks += counters.borrowed_blocks;
  totals_.status = space.status();
  ++totals_.rounds;
}

}  // namespace

void run_round(const RoundOptions& options, Watchdog& watchdog, Findings& findings,
               Totals& totals) {
  watchdog.main_does("opening the space");
  const Footprint before = take_footprint();
  {
    const Space space = program::need("open a space", Space::open(options.space));
    Round(options, watchdog, findings, totals).run(space);
  }
  watchdog.main_does("looking for leaks");
  if (options.may_keep) return;
  for (const std::string& leak : leaks_since(before)) {
    findings.leak(fmt::format("{}; round seed {}", leak, options.seed));
  }
}

}  // namespace sluice::stress
