// sluice bench faults: the cost of a host access to a page that the host cannot access.
//
// All on small pages (4 KiB), one host thread, one software device. "Without rights": the bytes are
// in host memory and the host's page table has no entry, as after an eviction. Window: the number
// of bytes that one access moves. Each round measures a baseline right before its case; the bench
// reports medians over the rounds. One round before them warms everything up.
//
//   fault_4k          median of one store to each page without rights, window 4 KiB    baseline: the kernel's own minor fault
//   fault_4k_p99      the 99th percentile of the same                                  baseline: its 99th percentile
//   fault_upgrade     the store to a page that the host and a device may only read     baseline: the kernel's own minor fault
//   fault_4k_traced   fault_4k in a space that writes a trace                          baseline: in one that does not
//   fault_4k_watched  fault_4k while `sluice top` looks at it five times a second      baseline: while it does not
//   stream_64k        one store to each page in order, window 64 KiB                   baseline: the same by minor faults
//   stream_2m         the same, window 2 MiB                                           baseline: the same by minor faults
//   read_back         a load from each page of a device-resident range, window as it    baseline: memcpy from the memory of the
//                     is by default; the whole journey                                 same device to plain memory
//   prefetch_to_host, prefetch_to_device   until the fence                             baseline: memcpy between the two
//   revoke_2m         FaultSource::revoke of a block with 512 page-table entries       baseline: MADV_DONTNEED of the same
//   handler_round_trip  only with --source signal: bench/handler.cc
//   signal_alone, signal_and_mprotect   only with --source signal: what fault_4k     baseline: the kernel's own minor fault
//                     is made of without Sluice; bench/handler.cc
//
// Needs about 700 MiB. Takes about half a second a round.

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <thread>

#include "base/types.hpp"
#include "bench/bench.hpp"
#include "bench/floor.hpp"
#include "bench/handler.hpp"
#include "bench/revoke.hpp"
#include "device/soft/soft_device.hpp"
#include "face/cpp/inside.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"
#include "top/space_finder.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t fault_size = std::size_t{32} << 20;
constexpr std::size_t stream_size = std::size_t{128} << 20;

constexpr Goal at_most(double limit) { return {Goal::Side::at_most, limit}; }
constexpr Goal at_least(double limit) { return {Goal::Side::at_least, limit}; }

// A space with one device and one range, in the state that a case needs.
class Ground {
 public:
  Ground(std::size_t size, std::size_t window, Grade best) : space_(open(size, window, best)) {
    range_ = need("allocate", space_.allocate(size, Kind::shared, HostPages::small));
    (void)time_all_stores(data(), size);
  }

  [[nodiscard]] std::byte* data() const { return range_.data(); }
  [[nodiscard]] std::size_t size() const { return range_.size(); }
  [[nodiscard]] const Space& space() const { return space_; }
  [[nodiscard]] std::uint64_t faults() const { return space_.counters().cpu_faults; }

  void move(Location to) const {
    const Fence fence = need("prefetch", space_.prefetch(range_, to));
    need("wait for the prefetch", fence.wait());
  }
  // Host-resident, without rights.
  void take_rights() const {
    move(Location::device(0));
    need("evict", Inside::engine(space_)->evict(span_of(data(), size()), 0));
    const auto where = need("residency", space_.residency(data(), size()));
    if (where.host != where.pages)
      throw CannotRun(fmt::format("only {} of {} pages were evicted", where.host, where.pages));
  }
  // Readable by both, writable by neither.
  void share() const {
    move(Location::device(0));
    for (std::size_t offset = 0; offset < size(); offset += page_size) load(offset);
  }
  void load(std::size_t offset) const {
    (void)*static_cast<const volatile std::byte*>(data() + offset);
  }

 private:
  static Space open(std::size_t size, std::size_t window, Grade best) {
    SpaceOptions options;
    options.software.memory_size = 2 * size;
    options.access_window = window;
    options.best_grade = best;
    Space space = need("open a space", Space::open(options));
    if (space.status().grade == Grade::none) {
      throw CannotRun("there are no access faults in grade none: " + space.status().grade_reason +
                      "\nTry: sluice doctor");
    }
    return space;
  }

  Space space_;
  Range range_;
};

// A case and its baseline, one number of each a round.
struct Series {
  std::vector<double> value;
  std::vector<double> baseline;

  void add(double of_case, double of_baseline) {
    value.push_back(of_case);
    baseline.push_back(of_baseline);
  }
  [[nodiscard]] Case finish(const char* name, const char* unit,
                            std::optional<Goal> goal = {}) const {
    return {name, median(value), unit, median(baseline), goal};
  }
};

// --- one page at a time --------------------------------------------------------------------------

class SingleFaults {
 public:
  explicit SingleFaults(Grade best) : ground_(fault_size, page_size, best) {}
  void round() {
    floor_.drop();
    const std::vector<double> minor = time_each_store(floor_.data(), fault_size);
#if defined(__x86_64__)
    if (in_thread()) {
      alone_.add(time_signal_alone(), quantile(minor, 0.5));
      protection_.add(quantile(time_each_store_by_protection(floor_.data(), fault_size), 0.5),
                      quantile(minor, 0.5));
    }
#endif

    ground_.take_rights();
    const std::uint64_t before = ground_.faults();
    const std::vector<double> faults = time_each_store(ground_.data(), fault_size);
    // Otherwise this would measure something else.
    if (const std::uint64_t seen = ground_.faults() - before; seen < fault_size / page_size) {
      throw CannotRun(fmt::format("{} stores to pages without rights gave only {} access faults",
                                  fault_size / page_size, seen));
    }
    p50_.add(quantile(faults, 0.5), quantile(minor, 0.5));
    p99_.add(quantile(faults, 0.99), quantile(minor, 0.99));

    if (!ground_.space().status().shares_reads) return;
    ground_.share();
    upgrade_.add(quantile(time_each_store(ground_.data(), fault_size), 0.5), quantile(minor, 0.5));
  }
  void forget() { p50_ = p99_ = upgrade_ = alone_ = protection_ = {}; }
  void finish(std::vector<Case>& cases) const {
    if (in_thread()) {
      cases.push_back(alone_.finish("signal_alone", "us"));
      cases.push_back(protection_.finish("signal_and_mprotect", "us"));
    }
    cases.push_back(p50_.finish("fault_4k", "us", at_most(in_thread() ? 3 : 15)));
    cases.push_back(p99_.finish("fault_4k_p99", "us"));
    if (!upgrade_.value.empty()) cases.push_back(upgrade_.finish("fault_upgrade", "us"));
  }

 private:
  [[nodiscard]] bool in_thread() const { return ground_.space().status().grade == Grade::signal; }

  Floor floor_{fault_size};
  Ground ground_;
  Series alone_;
  Series protection_;
  Series p50_;
  Series p99_;
  Series upgrade_;
};

// --- the same with a trace, and watched ---------------------------------------------------------

// A space that writes its trace to a file, which ends with it.
class TracedGround {
 public:
  explicit TracedGround(Grade best) : ground_(open(fault_size, best)) {}
  TracedGround(const TracedGround&) = delete;
  TracedGround& operator=(const TracedGround&) = delete;
  ~TracedGround() {
    ground_.reset();
    std::filesystem::remove(file());
  }

  const Ground* operator->() const { return ground_.get(); }

 private:
  static std::filesystem::path file() {
    return std::filesystem::temp_directory_path() /
           fmt::format("sluice-bench.{}.json", static_cast<int>(::getpid()));
  }
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread of the bench reads the environment
  static std::unique_ptr<Ground> open(std::size_t size, Grade best) {
    ::setenv("SLUICE_TRACE", file().c_str(), 1);
    auto ground = std::make_unique<Ground>(size, page_size, best);
    ::unsetenv("SLUICE_TRACE");
    return ground;
  }
  // NOLINTEND(concurrency-mt-unsafe)

  std::unique_ptr<Ground> ground_;
};

// Looks at this process while it lives, as `sluice top` does from another one.
class Watcher {
 public:
  Watcher()
      : thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            (void)finder_.look();
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
          }
        }) {}

 private:
  top::SpaceFinder finder_{::getpid()};
  std::jthread thread_;
};

class ObservedFaults {
 public:
  explicit ObservedFaults(Grade best) : plain_(fault_size, page_size, best), traced_(best) {}
  void round() {
    plain_.take_rights();
    const double plain = quantile(time_each_store(plain_.data(), fault_size), 0.5);
    traced_->take_rights();
    traces_.add(quantile(time_each_store(traced_->data(), fault_size), 0.5), plain);
    plain_.take_rights();
    const Watcher watcher;
    watches_.add(quantile(time_each_store(plain_.data(), fault_size), 0.5), plain);
  }
  void forget() { traces_ = watches_ = {}; }
  void finish(std::vector<Case>& cases) const {
    cases.push_back(traces_.finish("fault_4k_traced", "us", at_most(1.03)));
    cases.push_back(watches_.finish("fault_4k_watched", "us", at_most(1.03)));
  }

 private:
  Ground plain_;
  TracedGround traced_;
  Series traces_;
  Series watches_;
};

// --- one page after the other --------------------------------------------------------------------

class Streams {
 public:
  explicit Streams(Grade best)
      : ground_small_(stream_size, std::size_t{64} << 10, best),
        ground_large_(stream_size, block_size, best) {}
  void round() {
    measure(small_, ground_small_);
    measure(large_, ground_large_);
  }
  void forget() { small_ = large_ = {}; }
  void finish(std::vector<Case>& cases) const {
    const bool in_thread = ground_small_.space().status().grade == Grade::signal;
    cases.push_back(small_.finish("stream_64k", "GiB/s", at_least(in_thread ? 2.5 : 0.95)));
    cases.push_back(large_.finish("stream_2m", "GiB/s", at_least(4)));
  }

 private:
  void measure(Series& series, const Ground& ground) {
    floor_.drop();
    const double minor = time_all_stores(floor_.data(), stream_size);
    ground.take_rights();
    const double stream = time_all_stores(ground.data(), stream_size);
    series.add(gib_per_second(stream_size, stream), gib_per_second(stream_size, minor));
  }

  Floor floor_{stream_size};
  Ground ground_small_;
  Ground ground_large_;
  Series small_;
  Series large_;
};

// --- whole journeys ------------------------------------------------------------------------------

// Memory of the same device that no range uses, seen by the host, and plain memory to copy it to.
class PlainCopy {
 public:
  PlainCopy(device::Device& device, std::size_t size)
      : device_(device), plain_(new std::byte[size]()) {
    for (std::size_t done = 0; done < size; done += block_size) {
      const device::Allocation allocation =
          need("allocate device memory", device.allocate(block_size));
      allocations_.push_back(allocation);
      views_.push_back(
          device::soft::client_view(device, {Location::device(0), allocation.handle, 0}));
    }
    (void)to_device();
    (void)to_host();
  }
  PlainCopy(const PlainCopy&) = delete;
  PlainCopy& operator=(const PlainCopy&) = delete;
  ~PlainCopy() {
    for (const device::Allocation& allocation : allocations_) device_.release(allocation);
  }

  [[nodiscard]] double to_host() const {
    const Stopwatch watch;
    for (std::size_t i = 0; i < views_.size(); ++i)
      std::memcpy(plain_.get() + i * block_size, views_[i], block_size);
    return watch.microseconds();
  }
  [[nodiscard]] double to_device() const {
    const Stopwatch watch;
    for (std::size_t i = 0; i < views_.size(); ++i)
      std::memcpy(views_[i], plain_.get() + i * block_size, block_size);
    return watch.microseconds();
  }

 private:
  device::Device& device_;
  std::vector<device::Allocation> allocations_;
  std::vector<std::byte*> views_;
  std::unique_ptr<std::byte[]> plain_;
};

class Journeys {
 public:
  explicit Journeys(Grade best) : ground_(stream_size, 0, best) {}
  void round() {
    const double in = plain_.to_device();
    add(to_device_, time([this] { ground_.move(Location::device(0)); }), in);

    const double out = plain_.to_host();
    add(to_host_, time([this] { ground_.move(Location::host()); }), out);

    ground_.move(Location::device(0));
    const double again = plain_.to_host();
    add(read_back_, time([this] {
          for (std::size_t offset = 0; offset < stream_size; offset += page_size)
            ground_.load(offset);
        }),
        again);
    // The next round begins with the only copy on the host.
    (void)time_all_stores(ground_.data(), stream_size);
  }
  void forget() { to_device_ = to_host_ = read_back_ = {}; }
  void finish(std::vector<Case>& cases) const {
    cases.push_back(read_back_.finish("read_back", "GiB/s", at_least(0.6)));
    cases.push_back(to_host_.finish("prefetch_to_host", "GiB/s"));
    cases.push_back(to_device_.finish("prefetch_to_device", "GiB/s"));
  }

 private:
  template <typename Work>
  static double time(Work work) {
    const Stopwatch watch;
    work();
    return watch.microseconds();
  }
  static void add(Series& series, double of_case, double of_baseline) {
    series.add(gib_per_second(stream_size, of_case), gib_per_second(stream_size, of_baseline));
  }

  Ground ground_;
  PlainCopy plain_{*Inside::engine(ground_.space())->back_end(0), stream_size};
  Series to_device_;
  Series to_host_;
  Series read_back_;
};

}  // namespace

std::vector<Case> measure_faults(const Options& options) {
  std::vector<Case> cases;
#if defined(__x86_64__)
  // The program's own handler first: it must be there before Sluice's.
  if (options.best_grade == Grade::signal)
    measure_rounds(HandlerRoundTrip(Grade::signal), options, cases);
#endif
  measure_rounds(SingleFaults(options.best_grade), options, cases);
  measure_rounds(ObservedFaults(options.best_grade), options, cases);
  measure_rounds(Streams(options.best_grade), options, cases);
  measure_rounds(Journeys(options.best_grade), options, cases);
  measure_rounds(Revocations(options.best_grade), options, cases);
  return cases;
}

}  // namespace sluice::tool::bench
