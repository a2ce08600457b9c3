// sluice bench map: what mapping a range on N devices costs, as one call and as N, waited for and started.
//
// A space with 64 software devices; the range is one block, in host memory already, so what is timed is the call and the
// devices' own work. The ways take turns; unmapping in between is not timed. Told are medians over all turns.
//
//   map_one_call_N     microseconds of one call for N devices; the baseline is N calls for one device each
//   map_started_N      microseconds of a started operation and a wait for it; the baseline is the call that waits
//   map_overhead_N     microseconds of a call for N devices that finds everything mapped: hand-over, look, answer. The baseline
//                      is the call that maps, so the ratio is the share of call overhead in the total
//   map_syscall_N      microseconds of N - 1 bare system calls (one for N = 1): what N calls cost more than one if each is an
//                      ioctl. The baseline is the call that maps on N devices. Page-table isolation, where it is in force, is in it
//   relocate_N         microseconds of moving one block, mapped on N devices, to the host or back, with idle queues: stop, unmap,
//                      copy, map again, restart. The baseline is the time that each device's queues were stopped for it
//
// Takes a few seconds a round.

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/types.hpp"
#include "bench_report.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int turns = 20;

SpaceOptions many_devices() {
  SpaceOptions options;
  options.software.count = max_devices;
  options.software.memory_size = block_size;
  options.address_space = std::size_t{1} << 34;
  options.stop_interval = std::chrono::milliseconds(1);
  return options;
}

// Microseconds of a system call that does nothing.
double bare_system_call() {
  constexpr int calls = 20'000;
  const Stopwatch watch;
  for (int i = 0; i < calls; ++i) (void)::syscall(SYS_getppid);
  return watch.microseconds() / calls;
}

class Maps {
 public:
  explicit Maps(const Space& space, int devices)
      : space_(space), range_(need("allocate a range", space.allocate(block_size))) {
    range_.data()[0] = std::byte{1};
    for (int device = 0; device < devices; ++device) devices_.push_back(device);
  }

  void round() {
    for (int turn = 0; turn < turns; ++turn) {
      const Stopwatch for_one;
      need("map", space_.map(parts(), devices_));
      one_.push_back(for_one.microseconds());

      const Stopwatch for_nothing;
      need("map", space_.map(parts(), devices_));
      nothing_.push_back(for_nothing.microseconds());
      unmap();

      const Stopwatch for_many;
      for (const int device : devices_) need("map", space_.map(parts(), {device}));
      many_.push_back(for_many.microseconds());
      unmap();

      const Stopwatch for_started;
      const Mapping operation = need("start", space_.start_map(parts(), devices_));
      need("wait", operation.wait());
      started_.push_back(for_started.microseconds());
      unmap();
    }
  }
  void forget() {
    for (auto* samples : {&one_, &nothing_, &many_, &started_}) samples->clear();
  }
  void finish(double system_call, std::vector<Case>& cases) const {
    const auto name = [this](const char* what) { return what + std::to_string(devices_.size()); };
    const double one = median(one_);
    const double saved = static_cast<double>(std::max<std::size_t>(devices_.size() - 1, 1));
    cases.push_back({name("map_one_call_"), one, "us", median(many_), {}});
    cases.push_back({name("map_started_"), median(started_), "us", one, {}});
    cases.push_back({name("map_overhead_"), median(nothing_), "us", one, {}});
    cases.push_back({name("map_syscall_"), saved * system_call, "us", one, {}});
  }

 private:
  [[nodiscard]] std::vector<MappingPart> parts() const { return {{range_.data(), range_.size()}}; }
  void unmap() { need("unmap", space_.unmap(parts(), devices_)); }

  const Space& space_;
  Range range_;
  std::vector<int> devices_;
  std::vector<double> one_, nothing_, many_, started_;
};

// A device range of device 0, which goes to the host and comes back. What is timed begins when the rate allows it.
class Moves {
 public:
  Moves(const Space& space, int devices) : space_(space), devices_(devices) {
    std::vector<int> peers;
    for (int device = 1; device < devices; ++device) peers.push_back(device);
    range_ = peers.empty()
                 ? need("allocate a range", space.allocate_on_device(0, block_size))
                 : need("allocate a range", space.allocate_mapped_on_device(0, block_size, peers));
  }
  void round() {
    for (int turn = 0; turn < turns; ++turn) {
      for (const Location to : {Location::host(), Location::device(0)}) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        const auto before = stopped();
        const Stopwatch watch;
        need("relocate", space_.relocate(range_.data(), range_.size(), to));
        whole_.push_back(watch.microseconds());
        stopped_.push_back(std::chrono::duration<double, std::micro>(stopped() - before).count() /
                           devices_);
      }
    }
  }
  void forget() {
    whole_.clear();
    stopped_.clear();
  }
  void finish(std::vector<Case>& cases) const {
    cases.push_back(
        {"relocate_" + std::to_string(devices_), median(whole_), "us", median(stopped_), {}});
  }

 private:
  // Of all the devices together.
  [[nodiscard]] std::chrono::nanoseconds stopped() const {
    std::chrono::nanoseconds sum{0};
    for (int device = 0; device < devices_; ++device)
      sum += need("device", space_.device(device)).stopped_for;
    return sum;
  }

  const Space& space_;
  const int devices_;
  Range range_;
  std::vector<double> whole_, stopped_;
};

}  // namespace

std::vector<Case> measure_map(const Options& options) {
  const Space space = need("open a space", Space::open(many_devices()));
  std::vector<Case> cases;
  for (const int devices : {1, 2, 4, 8, 16, 64}) {
    Maps maps(space, devices);
    maps.round();
    maps.forget();
    for (int round = 0; round < options.rounds; ++round) maps.round();
    maps.finish(bare_system_call(), cases);
    Moves moves(space, devices);
    moves.round();
    moves.forget();
    for (int round = 0; round < options.rounds; ++round) moves.round();
    moves.finish(cases);
  }
  return cases;
}

}  // namespace sluice::tool::bench
