// Round: a space from its opening to its closing, with workers in between. A stress run is a
// sequence of rounds, so that it also tests events that happen only once in a space's life, and can
// check after each that everything was released.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/sluice.hpp"
#include "stress/dropping.hpp"
#include "stress/findings.hpp"
#include "stress/watchdog.hpp"

namespace sluice::stress {

struct RoundOptions {
  int workers = 0;
  std::uint64_t seed = 0;
  std::size_t working_set = 0;
  std::vector<std::string> without;  // as in Setting
  bool steps_fail = false;           // as in Setting
  int entry_drops = 0;               // how often a second page-table entries are taken away
  SpaceOptions space;
  std::chrono::steady_clock::time_point end;
  bool show_progress = false;
  bool may_keep = false;  // resources still held afterwards are no leak
};

// Over all rounds.
struct Totals {
  std::array<std::uint64_t, most_operations> done{};
  std::array<std::uint64_t, most_operations> refused{};
  std::array<std::int64_t, most_operations> slowest{};  // nanoseconds
  std::uint64_t operations = 0;
  std::uint64_t bytes_checked = 0;
  AdviceCounts advice;
  int rounds = 0;
  Counters counters;
  SpaceStatus status;  // of the last round
};

// Ends early after a finding: later findings may only follow from it.
void run_round(const RoundOptions& options, Watchdog& watchdog, Findings& findings, Totals& totals);

}  // namespace sluice::stress
