// sluice bench fresh: what memory costs that did not exist before.
//
// On software GPUs, by one host thread, with the pages that HostPages::automatic chooses. Cases
// with a baseline in time take turns with it, and the bench reports medians over the rounds. The
// others count, once.
//
//   first_touch      milliseconds to write every word of a new range     baseline: the same of memory from malloc
//   small_allocate   microseconds to allocate 100 bytes, of 10,000       baseline: mmap of a page
//   small_touch      microseconds for the first store to each            baseline: the same on those pages
//   small_free       microseconds to free each                           baseline: munmap
//   live_ranges      ranges of 100 bytes until one is refused, at most   baseline: vm.max_map_count
//                    a million
//   rss              MiB that the resident set grows by for a range      baseline: its MiB
//                    in which the host has written every word
//   sparse           MiB that host memory holds for pages touched far    baseline: the same with HostPages::small
//                    apart, at random, in short runs and one a block
//   sparse_touched   the same                                            baseline: the pages touched
//
// Needs about 2 GiB, which the records of a million ranges take. It has no kernels and no copies;
// those are in the part for a GPU (bench/cuda_fresh.cc).

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "bench/bench.hpp"
#include "os/machine.hpp"
#include "program/interruption.hpp"
#include "program/memory_held.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t touched_size = std::size_t{64} << 20;
constexpr std::size_t sparse_size = std::size_t{256} << 20;
constexpr std::size_t small_count = 10'000;
constexpr std::size_t small_size = 100;
constexpr std::size_t most_ranges = 1'000'000;
constexpr double mib = 1 << 20;

Space open_space(Grade best) {
  SpaceOptions options;
  options.best_grade = best;
  return need("open a space", Space::open(options));
}

double time_every_word(std::byte* data, std::size_t size) {
  auto* const words = reinterpret_cast<volatile std::uint64_t*>(data);
  const Stopwatch watch;
  for (std::size_t i = 0; i < size / sizeof *words; ++i) words[i] = i;
  return watch.microseconds();
}

class FirstTouch {
 public:
  explicit FirstTouch(Grade best) : space_(open_space(best)) {}

  void round() {
    {
      const std::unique_ptr<void, decltype(&std::free)> plain(std::malloc(touched_size),
                                                              &std::free);
      if (plain == nullptr) throw CannotRun("no memory for the baseline: try `free -h`");
      baseline_.push_back(time_every_word(static_cast<std::byte*>(plain.get()), touched_size));
    }
    const Range range = need("allocate", space_.allocate(touched_size));
    value_.push_back(time_every_word(range.data(), touched_size));
  }
  void forget() {
    value_.clear();
    baseline_.clear();
  }
  void finish(std::vector<Case>& cases) const {
    const double goal = os::usable_cpus() >= 8 ? 0.5 : 1.0;
    cases.push_back({"first_touch", median(value_) / 1000, "ms", median(baseline_) / 1000,
                     Goal{Goal::Side::at_most, goal}});
  }

 private:
  Space space_;
  std::vector<double> value_;
  std::vector<double> baseline_;
};

// Microseconds of each step, for one of them.
struct Steps {
  std::vector<double> allocate;
  std::vector<double> touch;
  std::vector<double> free;
};

class SmallRanges {
 public:
  explicit SmallRanges(Grade best) : space_(open_space(best)) {}

  void round() {
    round_of_mmap();
    std::vector<Range> ranges;
    ranges.reserve(small_count);
    const Stopwatch allocating;
    for (std::size_t i = 0; i < small_count; ++i)
      ranges.push_back(need("allocate 100 bytes", space_.allocate(small_size)));
    value_.allocate.push_back(each(allocating));
    const Stopwatch touching;
    for (const Range& range : ranges) *reinterpret_cast<volatile std::byte*>(range.data()) = {};
    value_.touch.push_back(each(touching));
    const Stopwatch freeing;
    ranges.clear();
    value_.free.push_back(each(freeing));
  }
  void forget() {
    value_ = {};
    baseline_ = {};
  }
  void finish(std::vector<Case>& cases) const {
    const auto add = [&](const char* name, const std::vector<double>& value,
                         const std::vector<double>& baseline) {
      cases.push_back(
          {name, median(value), "us", median(baseline), Goal{Goal::Side::at_most, 3.0}});
    };
    add("small_allocate", value_.allocate, baseline_.allocate);
    add("small_touch", value_.touch, baseline_.touch);
    add("small_free", value_.free, baseline_.free);
  }

 private:
  static double each(const Stopwatch& watch) {
    return watch.microseconds() / static_cast<double>(small_count);
  }

  void round_of_mmap() {
    std::vector<void*> pages(small_count);
    const Stopwatch allocating;
    for (void*& page : pages)
      page = ::mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    baseline_.allocate.push_back(each(allocating));
    if (pages.back() == MAP_FAILED) throw CannotRun("no mapping for the baseline");
    const Stopwatch touching;
    for (void* const page : pages) *static_cast<volatile std::byte*>(page) = {};
    baseline_.touch.push_back(each(touching));
    const Stopwatch freeing;
    for (void* const page : pages) ::munmap(page, page_size);
    baseline_.free.push_back(each(freeing));
  }

  Space space_;
  Steps value_;
  Steps baseline_;
};

void count_live_ranges(Grade best, std::vector<Case>& cases) {
  const Space space = open_space(best);
  std::vector<Range> ranges;
  while (ranges.size() < most_ranges && program::interruption() == 0) {
    auto made = space.allocate(small_size);
    if (!made) break;
    ranges.push_back(std::move(*made));
  }
  cases.push_back({"live_ranges", static_cast<double>(ranges.size()), "ranges",
                   static_cast<double>(os::inspect_mapping_limit().most),
                   Goal{Goal::Side::at_least, static_cast<double>(most_ranges), Goal::Of::value}});
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * page_size;
}

void weigh_resident_set(Grade best, std::vector<Case>& cases) {
  const Space space = open_space(best);
  const Range range = need("allocate", space.allocate(touched_size));
  const std::size_t before = resident_bytes();
  (void)time_every_word(range.data(), touched_size);
  const std::size_t after = resident_bytes();
  cases.push_back({"rss", static_cast<double>(after - before) / mib, "MiB",
                   static_cast<double>(touched_size) / mib, Goal{Goal::Side::at_most, 1.2}});
}

// The pages of a range that sparse programs touch, in that order: a quarter of the range for each
// way.
std::vector<std::size_t> sparse_pages() {
  constexpr std::size_t quarter = sparse_size / page_size / 4;
  std::vector<std::size_t> pages;
  for (std::size_t page = 0; page < quarter; page += 16) pages.push_back(page);
  for (std::size_t i = 0; i < quarter; i += 8)  // each once: the factor is odd
    pages.push_back(quarter + i * 9377 % quarter);
  for (std::size_t page = 2 * quarter; page < 3 * quarter; page += pages_per_block)
    pages.push_back(page + pages_per_block / 3);
  for (std::size_t run = 3 * quarter; run < 4 * quarter; run += 128)
    for (std::size_t page = run; page < run + 8; ++page) pages.push_back(page);
  return pages;
}

double weigh_sparse_range(Grade best, HostPages kind) {
  const Space space = open_space(best);
  const Range range = need("allocate", space.allocate(sparse_size, Kind::shared, kind));
  const std::size_t before = program::bytes_held();
  for (const std::size_t page : sparse_pages())
    *reinterpret_cast<volatile std::byte*>(range.data() + page * page_size) = std::byte{1};
  return static_cast<double>(program::bytes_held() - before) / mib;
}

void weigh_sparse_ranges(Grade best, std::vector<Case>& cases) {
  const double on_small_pages = weigh_sparse_range(best, HostPages::small);
  const double held = weigh_sparse_range(best, HostPages::automatic);
  const double touched = static_cast<double>(sparse_pages().size() * page_size) / mib;
  cases.push_back({"sparse", held, "MiB", on_small_pages, Goal{Goal::Side::at_most, 1.25}});
  cases.push_back({"sparse_touched", held, "MiB", touched, {}});
}

}  // namespace

std::vector<Case> measure_fresh(const Options& options) {
  if (options.on_gpu) return measure_fresh_on_gpu(options);
  std::vector<Case> cases;
  measure_rounds(FirstTouch(options.best_grade), options, cases);
  measure_rounds(SmallRanges(options.best_grade), options, cases);
  if (program::interruption() == 0) count_live_ranges(options.best_grade, cases);
  if (program::interruption() == 0) weigh_resident_set(options.best_grade, cases);
  if (program::interruption() == 0) weigh_sparse_ranges(options.best_grade, cases);
  return cases;
}

}  // namespace sluice::tool::bench
