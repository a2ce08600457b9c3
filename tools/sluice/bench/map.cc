// sluice bench map: the cost of mapping a range on N devices, as one call and as N, blocking and
// started.
//
// A space with 64 software devices; the range is one block, in host memory already, so the times
// are those of the call and the devices' own work. The ways take turns; unmapping in between is not
// timed. The bench reports medians over all turns.
//
//   map_..._N          see bench/maps.cc
//   relocate_N         microseconds of moving one block, mapped on N devices, to the host or back, with idle queues: stop, unmap,
//                      copy, map again, restart. The baseline is the time that each device's queues were stopped for it
//
// Takes a few seconds for each round.

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/types.hpp"
#include "bench/maps.hpp"
#include "program/interruption.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int turns_of_moves = 20;

SpaceOptions many_devices() {
  SpaceOptions options;
  options.software.count = max_devices;
  options.software.memory_size = block_size;
  options.address_space = std::size_t{1} << 34;
  options.stop_interval = std::chrono::milliseconds(1);
  return options;
}

// A device range of device 0, which goes to the host and comes back. Timing begins when the rate
// limit allows the move.
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
    for (int turn = 0; turn < turns_of_moves; ++turn) {
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
    if (program::interruption() != 0) break;
    Range range = need("allocate a range", space.allocate(block_size));
    range.data()[0] = std::byte{1};
    for (Case& result : measure_maps(space, range, devices, options.rounds))
      cases.push_back(std::move(result));
    Moves moves(space, devices);
    moves.round();
    moves.forget();
    for (int round = 0; goes_on(round, options.rounds); ++round) moves.round();
    moves.finish(cases);
  }
  return cases;
}

}  // namespace sluice::tool::bench
