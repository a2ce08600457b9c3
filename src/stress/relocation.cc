// A relocator knows the contents of every block of its two ranges, because no other thread uses
// them. It fills blocks by kernels on any device that maps them by the engine's records, naming
// nothing, while it and its neighbours make them move; then it compares every byte.
//
// A device that refuses a mapping (as planned) or dies is without the range until it is mapped
// there again; a mapping operation tells, because it hands over nothing if the engine's records say
// that it is mapped. A range that was lost with its owner is given up.
#include "stress/relocation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/types.hpp"
#include "sluice/soft_kernels_builtin.h"
#include "stress/undeclared_kernel.hpp"

namespace sluice::stress {
namespace {

using Word = std::uint32_t;

constexpr std::size_t device_blocks = 3;
constexpr std::size_t words_per_block = block_size / sizeof(Word);

struct Held {
  Range range;
  int owner = 0;
  // The value of each word of a block. Nothing: a fill was cut off by the end of its device.
  std::array<std::optional<Word>, device_blocks> values;
  std::array<bool, device_blocks> away{};  // as far as this worker made it so, or has seen it
};

class Relocator {
 public:
  Relocator(const Space& space, int number, std::uint64_t seed, const Losses& losses,
            Findings& findings, RelocationTotals& totals, Progress& progress)
      : space_(space),
        number_(number),
        random_(seed),
        losses_(losses),
        findings_(findings),
        totals_(totals),
        progress_(progress) {}

  void run(const std::atomic<bool>& stop) {
    while (!stop) {
      Held& held = held_[pick(held_.size())];
      if (!held.range) {
        allocate(held);
        continue;
      }
      switch (pick(8)) {
        case 0:
          compare(held);
          release(held);
          break;
        case 1:
        case 2:
          relocate(held);
          break;
        case 3:
          compare(held);
          break;
        default:
          fill(held);
      }
    }
    for (Held& held : held_)
      if (held.range) compare(held);
    for (Held& held : held_)
      if (held.range) release(held);
    progress_.doing = nullptr;
  }

 private:
  std::size_t pick(std::size_t below) { return random_() % below; }
  int pick_device() {
    return static_cast<int>(pick(static_cast<std::size_t>(space_.device_count())));
  }
  void doing(const char* what, const Held& held) {
    progress_.since = std::chrono::steady_clock::now().time_since_epoch().count();
    progress_.address = reinterpret_cast<std::uint64_t>(held.range.data());
    progress_.size = held.range.size();
    progress_.doing = what;
  }
  [[nodiscard]] std::string who() const { return fmt::format("relocator {}", number_); }
  [[nodiscard]] static Word* block_of(const Held& held, std::size_t block) {
    return reinterpret_cast<Word*>(held.range.data()) + block * words_per_block;
  }

  void expect_planned(const char* what, const Error& error) {
    switch (error.code()) {
      case ErrorCode::system:
      case ErrorCode::device_lost:
      case ErrorCode::data_lost:
      case ErrorCode::timed_out:
      case ErrorCode::out_of_device_memory:
      case ErrorCode::out_of_host_memory:
      case ErrorCode::unsupported:  // a peer's memory, as planned
        return;
      default:
        findings_.unexpected_error(
            fmt::format("{}: {}: {}", who(), what, std::string(error.detail())));
    }
  }

  void allocate(Held& held) {
    doing("allocate", held);
    held.owner = pick(3) == 0 ? pick_device() : 0;  // one device is short most of the time
    std::vector<int> peers;
    for (int device = 0; device < space_.device_count(); ++device)
      if (device != held.owner && pick(2) == 0) peers.push_back(device);
    if (peers.empty()) peers.push_back((held.owner + 1) % space_.device_count());
    auto range = space_.allocate_mapped_on_device(held.owner, device_blocks * block_size, peers);
    if (!range) {
      expect_planned("allocation", range.error());
      return;
    }
    held.range = std::move(*range);
    held.values.fill(std::nullopt);  // a device range begins with anything
    held.away.fill(false);
  }

  void release(Held& held) {
    doing("free", held);
    if (const auto freed = held.range.unmap_and_free(); !freed)
      findings_.unexpected_error(
          fmt::format("{}: free: {}", who(), std::string(freed.error().detail())));
  }

  void relocate(Held& held) {
    doing("relocate", held);
    const Location to = pick(2) == 0 ? Location::host() : Location::device(held.owner);
    const std::size_t first = pick(device_blocks);
    MappingReport report;
    const auto moved =
        space_.relocate(block_of(held, first), (device_blocks - first) * block_size, to, &report);
    ++(moved ? totals_.asked : totals_.refused);
    if (!moved) expect_planned("relocate", moved.error());
    for (std::size_t block = first; block < device_blocks; ++block)
      held.away[block] = is_away(held, block);
    for (const DeviceMapping& device : report.devices) {
      if ((device.state == MappingState::failed) != device.why.has_value())
        findings_.violation(
            fmt::format("{}: device {} failed for no reason, or did not", who(), device.device));
    }
  }

  [[nodiscard]] bool is_away(const Held& held, std::size_t block) const {
    const auto residency = space_.residency(block_of(held, block));
    return residency && residency->holders == LocationSet(Location::host());
  }

  // The engine's record: a mapping operation hands over nothing for mapped blocks.
  [[nodiscard]] bool records_say_mapped(const Held& held, std::size_t block, int device) {
    MappingReport report;
    (void)space_.map({{block_of(held, block), block_size}}, {device}, {}, OnSignal::keep_waiting,
                     &report);
    return !report.devices.empty() && report.devices[0].state == MappingState::mapped &&
           report.devices[0].dispatched == 0;
  }

  void fill(Held& held) {
    doing("fill", held);
    const std::size_t block = pick(device_blocks);
    const int device = pick_device();
    const auto index = static_cast<std::size_t>(device);
    const Word value = static_cast<Word>(random_());
    // Another worker's relocation may leave this device out between the query and the kernel, but
    // not three times in a row.
    for (int tries = 0; tries < 4; ++tries) {
      const std::uint32_t epoch = losses_.count[index];
      if (!records_say_mapped(held, block, device)) return;
      const std::optional<bool> filled = run_undeclared(
          space_, device, "fill", sluice_soft_fill{block_of(held, block), value}, words_per_block);
      if (!filled) return;
      totals_.fills += *filled ? 1 : 0;
      held.values[block] = *filled ? std::optional(value) : std::nullopt;
      if (*filled || space_.device(device)->lost || epoch != losses_.count[index]) return;
    }
    findings_.violation(
        fmt::format("{}: the records say that device {} maps block {} at {}, and it "
                    "cannot use it",
                    who(), device, block, fmt::ptr(block_of(held, block))));
  }

  void compare(Held& held) {
    doing("compare", held);
    for (std::size_t block = 0; block < device_blocks; ++block) {
      const auto copied =
          space_.copy(copy_.data(), block_of(held, block), copy_.size() * sizeof(Word));
      if (!copied) {
        expect_planned("copy", copied.error());
        if (copied.error().code() != ErrorCode::data_lost) continue;
        ++totals_.lost;
        release(held);
        return;
      }
      if (is_away(held, block) && !std::exchange(held.away[block], true)) ++totals_.pressed;
      const std::optional<Word> value = held.values[block];
      if (!value) continue;
      totals_.bytes += copy_.size() * sizeof(Word);
      const auto wrong =
          std::find_if(copy_.begin(), copy_.end(), [&](Word word) { return word != *value; });
      if (wrong != copy_.end())
        findings_.violation(fmt::format("{}: word {} of block {} at {} is {:#x} instead of {:#x}",
                                        who(), wrong - copy_.begin(), block,
                                        fmt::ptr(block_of(held, block)), *wrong, *value));
    }
  }

  const Space& space_;
  const int number_;
  std::mt19937_64 random_;
  const Losses& losses_;
  Findings& findings_;
  RelocationTotals& totals_;
  Progress& progress_;
  std::array<Held, 2> held_;
  std::vector<Word> copy_ = std::vector<Word>(words_per_block);
};

}  // namespace

void run_relocator(const Space& space, int number, std::uint64_t seed, const Losses& losses,
                   Findings& findings, RelocationTotals& totals, Progress& progress,
                   const std::atomic<bool>& stop) {
  Relocator(space, number, seed, losses, findings, totals, progress).run(stop);
}

}  // namespace sluice::stress
