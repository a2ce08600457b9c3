// Every worker owns a range, so it knows from its reports which mappings must exist. After each
// operation it touches a block from every device by kernels that name nothing, and reads the word
// on the host. State made unknown by a lost device is not checked until a later report states it
// again; nothing else is left out.
//
// One more thread makes trouble (stress/trouble.cc), and every worker gets a signal each
// millisecond. See stress/mapping.hpp.
#include "stress/mapping.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/types.hpp"
#include "program/interruption.hpp"
#include "program/need.hpp"
#include "program/threads.hpp"
#include "sluice/soft_kernels_builtin.h"
#include "stress/footprint.hpp"
#include "stress/trouble.hpp"
#include "stress/undeclared_kernel.hpp"

namespace sluice::stress {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Generator = std::mt19937_64;

constexpr std::size_t blocks = 4;
enum class Known : std::uint8_t { nothing, read, write, unknown };

std::size_t pick(Generator& random, std::size_t below) { return random() % below; }

class Mapper {
 public:
  Mapper(const Space& space, int number, std::uint64_t seed, const Losses& losses,
         Findings& findings, MappingTotals& totals)
      : space_(space),
        number_(number),
        random_(seed),
        losses_(losses),
        findings_(findings),
        totals_(totals),
        result_(program::need("results", space.buffer<std::uint64_t>(1, Kind::host))) {}

  [[nodiscard]] const Progress& progress() const noexcept { return progress_; }

  void run(const std::atomic<bool>& stop) {
    while (!stop) {
      if (!range_ && !allocate()) continue;
      switch (pick(random_, 12)) {
        case 0:
          release();
          break;
        case 1:
        case 2:
        case 3:
          operate(true);
          break;
        default:
          operate(false);
      }
      ++totals_.operations;
      if (range_) check_by_touching();
    }
    if (range_) release();
    progress_.doing = nullptr;
  }

 private:
  void doing(const char* what) {
    progress_.since = Clock::now().time_since_epoch().count();
    progress_.doing = what;
  }
  [[nodiscard]] std::string who() const { return fmt::format("worker {}", number_); }
  [[nodiscard]] std::uint32_t* word(std::size_t block) const {
    return reinterpret_cast<std::uint32_t*>(range_.data() + block * block_size);
  }

  // --- operations --------------------------------------------------------------------------------
  bool allocate() {
    doing("allocate");
    const bool mapped = pick(random_, 4) == 0;
    const std::vector<int> devices = some_devices();
    take_epochs();
    auto range = mapped ? space_.allocate_mapped(blocks * block_size, devices)
                        : space_.allocate(blocks * block_size);
    if (!range) {
      expect_planned("allocation", range.error());
      return false;
    }
    range_ = std::move(*range);
    for (auto& device : known_) device.fill(Known::nothing);
    values_.fill(0);
    if (mapped)
      for (const int device : devices) set(device, 0, blocks, Known::write);
    if (!mapped && pick(random_, 3) == 0) move_to_a_device();
    return true;
  }

  void release() {
    doing("free");
    if (const auto freed = range_.unmap_and_free(); !freed)
      findings_.unexpected_error(
          fmt::format("{}: free: {}", who(), std::string(freed.error().detail())));
  }

  // Bytes that a mapping has to bring back first. From here on that device may reach them on its
  // own.
  void move_to_a_device() {
    doing("launch");
    const int device =
        static_cast<int>(pick(random_, static_cast<std::size_t>(space_.device_count())));
    for (auto& known : known_[static_cast<std::size_t>(device)]) known = Known::unknown;
    auto queue = space_.queue(device);
    if (!queue) return;
    auto kernel = queue->kernel("nothing");
    if (!kernel) return;
    const auto fence = queue->launch(*kernel).writes(range_).arguments(0).submit();
    if (fence) (void)fence->wait();
  }

  void operate(bool unmaps) {
    const std::size_t first = pick(random_, blocks);
    const std::size_t count = 1 + pick(random_, blocks - first);
    const std::vector<MappingPart> parts{{word(first), count * block_size}};
    const std::vector<int> devices = some_devices();
    MappingOptions options;
    if (pick(random_, 3) == 0) options.access = Access::read;
    if (pick(random_, 3) == 0) options.mode = MappingMode::all_or_nothing;
    doing(unmaps ? "unmap" : "map");
    take_epochs();
    const auto report = pick(random_, 2) == 0 ? in_one_call(unmaps, parts, devices, options)
                                              : started(unmaps, parts, devices, options);
    if (!report) return;
    believe(*report, first, count,
            unmaps                           ? Known::nothing
            : options.access == Access::read ? Known::read
                                             : Known::write,
            options.mode);
  }

  std::optional<MappingReport> in_one_call(bool unmaps, const std::vector<MappingPart>& parts,
                                           const std::vector<int>& devices,
                                           const MappingOptions& options) {
    MappingReport report;
    while (true) {
      const auto done =
          unmaps ? space_.unmap(parts, devices, options, OnSignal::return_interrupted, &report)
                 : space_.map(parts, devices, options, OnSignal::return_interrupted, &report);
      if (!done && done.error().code() == ErrorCode::interrupted) {
        ++totals_.interruptions;
        continue;  // the very same call attaches
      }
      if (!done) expect_planned(unmaps ? "unmap" : "map", done.error());
      if (report.devices.empty()) return std::nullopt;
      return report;
    }
  }

  std::optional<MappingReport> started(bool unmaps, const std::vector<MappingPart>& parts,
                                       const std::vector<int>& devices,
                                       const MappingOptions& options) {
    const auto operation = unmaps ? space_.start_unmap(parts, devices, options)
                                  : space_.start_map(parts, devices, options);
    if (!operation) {
      expect_planned("start", operation.error());
      return std::nullopt;
    }
    await(*operation);
    if (operation->report().prefix != devices.size() && pick(random_, 2) == 0) {
      if (const auto resumed = operation->resume(); !resumed)
        expect_planned("resume", resumed.error());
      await(*operation);
    }
    return operation->report();
  }

  void await(const Mapping& operation) {
    while (true) {
      const auto done = operation.wait(OnSignal::return_interrupted);
      if (done || done.error().code() != ErrorCode::interrupted) return;
      ++totals_.interruptions;
    }
  }

  // --- what must be true -------------------------------------------------------------------------
  void believe(const MappingReport& report, std::size_t first, std::size_t count, Known wanted,
               MappingMode mode) {
    if (!report.done) findings_.violation(who() + ": a report of a finished call is not done");
    std::size_t prefix = 0;
    bool gap = false;
    bool failed = false;
    for (const DeviceMapping& device : report.devices) {
      const bool good =
          device.state == MappingState::mapped || device.state == MappingState::unmapped;
      gap = gap || !good;
      prefix += gap ? 0 : 1;
      failed = failed || device.state == MappingState::failed;
      if (device.state == MappingState::failed) {
        ++totals_.failures;
        if (!device.why) findings_.violation(who() + ": a device failed for no reason");
      }
      if (device.state == MappingState::pending)
        findings_.violation(who() + ": a device is pending in a finished report");
      if (good && stable(device.device)) set(device.device, first, count, wanted);
    }
    if (prefix != report.prefix)
      findings_.violation(
          fmt::format("{}: the prefix is {}, and was told as {}", who(), prefix, report.prefix));
    for (const DeviceMapping& device : report.devices)
      if (failed && mode == MappingMode::all_or_nothing && device.state == MappingState::mapped &&
          device.dispatched != 0)
        findings_.violation(
            fmt::format("{}: all or nothing left device {} mapped", who(), device.device));
  }

  void set(int device, std::size_t first, std::size_t count, Known known) {
    auto& of_device = known_[static_cast<std::size_t>(device)];
    // Unmapping does not remove mappings that a launch gave a device on its own.
    for (std::size_t block = first; block < first + count; ++block)
      if (known != Known::nothing || of_device[block] != Known::unknown) of_device[block] = known;
  }

  void take_epochs() {
    for (std::size_t device = 0; device < epochs_.size(); ++device) {
      const std::uint32_t now = losses_.count[device];
      if (now != epochs_[device] || (static_cast<int>(device) < space_.device_count() &&
                                     space_.device(static_cast<int>(device))->lost))
        known_[device].fill(Known::unknown);
      epochs_[device] = now;
    }
  }
  // The device was not lost since the epochs were taken.
  [[nodiscard]] bool stable(int device) {
    const auto index = static_cast<std::size_t>(device);
    if (!space_.device(device)->lost && losses_.count[index] == epochs_[index] &&
        epochs_[index] % 2 == 0)
      return true;
    known_[index].fill(Known::unknown);
    return false;
  }

  void check_by_touching() {
    doing("touch");
    const std::size_t block = pick(random_, blocks);
    for (int device = 0; device < space_.device_count() && range_; ++device) touch(device, block);
    if (!range_) return;
    const std::optional<std::uint32_t> seen = read_on_host(block);
    if (!seen) return;
    progress_.bytes_checked += sizeof *seen;
    if (*seen != values_[block])
      findings_.violation(fmt::format("{}: block {} is {} on the host and should be {}", who(),
                                      block, *seen, values_[block]));
  }

  // A lease reports by an error what a plain access would report by a signal. A range that lost
  // bytes is of no use any more.
  std::optional<std::uint32_t> read_on_host(std::size_t block) {
    const auto lease =
        space_.lease(word(block), sizeof(std::uint32_t), Location::host(), Access::read);
    if (lease) return *word(block);
    expect_planned("lease", lease.error());
    if (lease.error().code() == ErrorCode::data_lost) release();
    return std::nullopt;
  }

  void touch(int device, std::size_t block) {
    const Known known = known_[static_cast<std::size_t>(device)][block];
    if (known == Known::unknown || !stable(device)) return;
    // Each refusal stops a queue and is a line on stderr.
    if (known == Known::nothing && pick(random_, 8) != 0) return;
    const std::uint32_t value = values_[block] + 1;
    const auto loaded = run_undeclared(space_, device, "load",
                                       sluice_soft_load{word(block), result_.data(), sizeof value});
    const std::uint64_t seen = result_[0];
    const auto stored = known == Known::read && pick(random_, 8) != 0
                            ? std::nullopt
                            : run_undeclared(space_, device, "store",
                                             sluice_soft_store{word(block), value, sizeof value});
    if (stored == true) values_[block] = value;
    if (!stable(device)) {
      // The store may have come just before the end.
      if (const auto now = stored == false ? read_on_host(block) : std::nullopt)
        values_[block] = *now;
      return;
    }
    totals_.touches += 2;
    const auto expect = [&](const char* what, std::optional<bool> got, bool wanted) {
      if (got && *got != wanted)
        findings_.violation(
            fmt::format("{}: device {} {} block {} at {}, and reports say otherwise", who(), device,
                        *got ? fmt::format("could {}", what) : fmt::format("could not {}", what),
                        block, fmt::ptr(word(block))));
    };
    expect("load", loaded, known != Known::nothing);
    expect("store", stored, known == Known::write);
    if (loaded == true && seen != value - 1)
      findings_.violation(fmt::format("{}: device {} loads {} from block {} instead of {}", who(),
                                      device, seen, block, value - 1));
  }

  void expect_planned(const char* what, const Error& error) {
    switch (error.code()) {
      case ErrorCode::system:
      case ErrorCode::device_lost:
      case ErrorCode::data_lost:
      case ErrorCode::out_of_host_memory:
        return;
      default:
        findings_.unexpected_error(
            fmt::format("{}: {}: {}", who(), what, std::string(error.detail())));
    }
  }

  std::vector<int> some_devices() {
    std::vector<int> devices;
    for (int device = 0; device < space_.device_count(); ++device)
      if (pick(random_, 3) != 0) devices.push_back(device);
    if (devices.empty()) devices.push_back(0);
    std::shuffle(devices.begin(), devices.end(), random_);
    return devices;
  }

  const Space& space_;
  const int number_;
  Generator random_;
  const Losses& losses_;
  Findings& findings_;
  MappingTotals& totals_;
  Progress progress_;
  Buffer<std::uint64_t> result_;
  Range range_;
  std::array<std::array<Known, blocks>, max_devices> known_{};
  std::array<std::uint32_t, blocks> values_{};
  std::array<std::uint32_t, max_devices> epochs_{};
};

// --- the round -----------------------------------------------------------------------------------

void expect_nothing_held(const Space& space, Findings& findings) {
  for (int device = 0; device < space.device_count(); ++device)
    if (const auto info = program::need("device", space.device(device)); info.in_use != 0)
      findings.leak(fmt::format("{} bytes of device {} are in use after all ranges were freed",
                                info.in_use, device));
  if (const auto broken = space.check()) findings.violation(*broken);
}

void run_threads(const MappingRoundOptions& options, const Space& space, Watchdog& watchdog,
                 Findings& findings, MappingTotals& totals) {
  Losses losses;
  std::vector<std::unique_ptr<Mapper>> mappers;
  std::vector<const Progress*> progress;
  for (int i = 0; i < options.workers; ++i) {
    mappers.push_back(std::make_unique<Mapper>(
        space, i, options.seed * 1000 + static_cast<std::uint64_t>(i), losses, findings, totals));
    progress.push_back(&mappers.back()->progress());
  }
  const int relocators = std::max(1, options.workers / 2);
  std::vector<Progress> of_relocators(static_cast<std::size_t>(relocators));
  for (const Progress& one : of_relocators) progress.push_back(&one);
  {
    const WatchedWorkers watching(watchdog, progress, [&](std::uint64_t address) {
      return space.explain(reinterpret_cast<const void*>(address));
    });
    std::atomic<bool> stop{false};
    std::atomic<bool> stop_trouble{false};
    program::Threads trouble([&] { stop_trouble = true; });
    program::Threads threads([&] { stop = true; });
    for (const auto& mapper : mappers) threads.add([&] { mapper->run(stop); });
    for (int i = 0; i < relocators; ++i)
      threads.add([&, i] {
        run_relocator(space, i, options.seed * 1000 + 500 + static_cast<std::uint64_t>(i), losses,
                      findings, totals.relocations, of_relocators[static_cast<std::size_t>(i)],
                      stop);
      });
    trouble.add([&] { make_trouble(space, options.seed, losses, totals.losses, stop_trouble); });
    while (Clock::now() < options.end && findings.counts().clean() &&
           program::interruption() == 0) {
      watchdog.main_does("sending signals");
      threads.signal(SIGUSR1);
      std::this_thread::sleep_for(1ms);
    }
    watchdog.main_does("waiting for the workers");
    threads.end();
    trouble.end();
  }
  mappers.clear();
  totals.relocations.moved += space.counters().relocated_blocks;
  totals.relocations.stops += space.counters().queue_stops;
  expect_nothing_held(space, findings);
}

}  // namespace

void run_mapping_round(const MappingRoundOptions& options, Watchdog& watchdog, Findings& findings,
                       MappingTotals& totals) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, &before);
  watchdog.main_does("opening the space");
  const Footprint footprint = take_footprint();
  {
    const Space space = program::need("open a space", Space::open(options.space));
    run_threads(options, space, watchdog, findings, totals);
    watchdog.main_does("closing the space");
  }
  watchdog.main_does("looking for leaks");
  for (const std::string& leak : leaks_since(footprint)) findings.leak(leak);
  sigaction(SIGUSR1, &before, nullptr);
  ++totals.rounds;
}

}  // namespace sluice::stress
