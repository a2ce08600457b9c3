// Relocators: workers of `sluice stress --mapping` with memory that moves while their kernels run
// on it. They use device ranges, mapped on peers, that do not all fit on the devices, so that some
// move because a worker asks, and some because their owner's memory is short.
#pragma once

#include <atomic>
#include <cstdint>

#include "sluice/sluice.hpp"
#include "stress/findings.hpp"
#include "stress/trouble.hpp"

namespace sluice::stress {

// Over all rounds. Counted by all workers at once.
struct RelocationTotals {
  std::atomic<std::uint64_t> asked{0};    // relocations that a worker asked for and got
  std::atomic<std::uint64_t> refused{0};  // or did not get, for a legitimate reason
  std::atomic<std::uint64_t> moved{0};    // blocks that moved, for any reason
  std::atomic<std::uint64_t> pressed{0};  // of them, found away by an owner that had not asked
  std::atomic<std::uint64_t> fills{0};    // kernels that wrote a block which no launch named
  std::atomic<std::uint64_t> bytes{0};    // compared
  std::atomic<std::uint64_t> stops{0};    // of all queues of one device
  std::atomic<std::uint64_t> lost{0};     // ranges with bytes on a device that died
};

// Runs until `stop`: allocates, maps, moves, fills by kernels that name nothing, and compares every
// byte.
void run_relocator(const Space& space, int number, std::uint64_t seed, const Losses& losses,
                   Findings& findings, RelocationTotals& totals, Progress& progress,
                   const std::atomic<bool>& stop);

}  // namespace sluice::stress
