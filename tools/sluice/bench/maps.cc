// Mapping a range on N devices. The ways take turns; unmapping in between is not timed. The bench
// reports medians over all turns.
//
//   map_one_call_N     microseconds of one call for N devices; the baseline is N calls for one device each
//   map_started_N      microseconds of a started operation and a wait for it; the baseline is the call that waits
//   map_overlapped_N   microseconds of N operations for one device each, all started before the first is waited for; the baseline is
//                      one call for N devices
//   map_overhead_N     microseconds of a call for N devices that finds everything mapped: hand-over, look, answer. The baseline
//                      is the call that maps, so the ratio is the share of call overhead in the total
//   map_syscall_N      microseconds of N - 1 bare system calls (one for N = 1): what N calls cost more than one if each is an
//                      ioctl. The baseline is the call that maps on N devices. Page-table isolation, where it is in force, is in it
//
// The owner of a device range is one of the N and has nothing to do, so for N = 1 such a range
// shows call overhead and nothing else.
#include "bench/maps.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int turns_of_mappings = 20;

// Microseconds of a system call that does nothing.
double bare_system_call() {
  constexpr int calls = 20'000;
  const Stopwatch watch;
  for (int i = 0; i < calls; ++i) (void)::syscall(SYS_getppid);
  return watch.microseconds() / calls;
}

class Maps {
 public:
  Maps(const Space& space, const Range& range, int devices)
      : space_(space), parts_{{range.data(), range.size()}} {
    for (int device = 0; device < devices; ++device) devices_.push_back(device);
    for (const int device : devices_)
      if (range.kind() != Kind::device || device != 0) unmapped_.push_back(device);
  }

  void round() {
    for (int turn = 0; turn < turns_of_mappings; ++turn) {
      const Stopwatch for_one;
      need("map", space_.map(parts_, devices_));
      one_.push_back(for_one.microseconds());

      const Stopwatch for_nothing;
      need("map", space_.map(parts_, devices_));
      nothing_.push_back(for_nothing.microseconds());
      unmap();

      const Stopwatch for_many;
      for (const int device : devices_) need("map", space_.map(parts_, {device}));
      many_.push_back(for_many.microseconds());
      unmap();

      const Stopwatch for_started;
      const Mapping operation = need("start", space_.start_map(parts_, devices_));
      need("wait", operation.wait());
      started_.push_back(for_started.microseconds());
      unmap();

      const Stopwatch for_overlapped;
      std::vector<Mapping> operations;
      operations.reserve(devices_.size());
      for (const int device : devices_)
        operations.push_back(need("start", space_.start_map(parts_, {device})));
      for (const Mapping& each : operations) need("wait", each.wait());
      overlapped_.push_back(for_overlapped.microseconds());
      unmap();
    }
  }
  void forget() {
    for (auto* samples : {&one_, &nothing_, &many_, &started_, &overlapped_}) samples->clear();
  }
  [[nodiscard]] std::vector<Case> cases(double system_call) const {
    const auto name = [this](const char* what) { return what + std::to_string(devices_.size()); };
    const double one = median(one_);
    const double saved = static_cast<double>(std::max<std::size_t>(devices_.size() - 1, 1));
    return {{name("map_one_call_"), one, "us", median(many_), {}},
            {name("map_started_"), median(started_), "us", one, {}},
            {name("map_overlapped_"), median(overlapped_), "us", one, {}},
            {name("map_overhead_"), median(nothing_), "us", one, {}},
            {name("map_syscall_"), saved * system_call, "us", one, {}}};
  }

 private:
  void unmap() {
    if (!unmapped_.empty()) need("unmap", space_.unmap(parts_, unmapped_));
  }

  const Space& space_;
  const std::vector<MappingPart> parts_;
  std::vector<int> devices_;
  std::vector<int> unmapped_;  // without the owner, which keeps its mapping
  std::vector<double> one_, nothing_, many_, started_, overlapped_;
};

}  // namespace

std::vector<Case> measure_maps(const Space& space, const Range& range, int devices, int rounds) {
  Maps maps(space, range, devices);
  maps.round();
  maps.forget();
  for (int round = 0; goes_on(round, rounds); ++round) maps.round();
  return maps.cases(bare_system_call());
}

}  // namespace sluice::tool::bench
