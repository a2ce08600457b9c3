// A round of `sluice stress --mapping`: many threads map and unmap ranges of a space on its
// devices, under a signal every millisecond, injected failures and dying devices; each report is
// checked by accesses from every device.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "sluice/sluice.hpp"
#include "stress/findings.hpp"
#include "stress/relocation.hpp"
#include "stress/watchdog.hpp"

namespace sluice::stress {

struct MappingRoundOptions {
  int workers = 0;
  std::uint64_t seed = 0;
  SpaceOptions space;
  std::chrono::steady_clock::time_point end;
};

// Over all rounds. Counted by all workers at once.
struct MappingTotals {
  std::atomic<std::uint64_t> operations{0};     // mapped and unmapped, resumed, allocated, freed
  std::atomic<std::uint64_t> touches{0};        // from a device, to see whether a report was true
  std::atomic<std::uint64_t> interruptions{0};  // waits that a signal ended
  std::atomic<std::uint64_t> failures{0};       // devices that a report called failed
  std::atomic<std::uint64_t> losses{0};         // devices lost, and reset
  std::atomic<std::uint64_t> rounds{0};
  RelocationTotals relocations;
};

void run_mapping_round(const MappingRoundOptions& options, Watchdog& watchdog, Findings& findings,
                       MappingTotals& totals);

}  // namespace sluice::stress
