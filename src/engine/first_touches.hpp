// FirstTouches: small ranges that a thread of the host touches one after the other are answered
// some at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/stages.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {

// How many of the next cells a thread will touch, from the cells that it touched so far. Pure.
class TouchStreak {
 public:
  static constexpr std::uint32_t most_ahead = 16;

  // The first touch of a range in these cells. Returns how many of the cells behind them it is
  // worth to give at once: none until several touches came in order, then twice as many each time.
  [[nodiscard]] std::uint32_t note(AddressSpan cells) noexcept;

 private:
  static constexpr std::uint32_t touches_in_order =
      4;  // touches in order before the first cell is given

  Address end_{};               // of the cells touched last
  Address expected_{};          // the cell touched next, if all that were to be given were
  std::uint32_t in_order_ = 0;  // touches
  std::uint32_t ahead_ = 0;     // cells
};

// The parts of an engine that first touches are answered with.
struct FirstTouchesParts {
  RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  const plan::Abilities& abilities;
};

// Thread-safe. Allocates nothing; runs where host accesses are answered.
class FirstTouches {
 public:
  explicit FirstTouches(const FirstTouchesParts& parts) noexcept : parts_(parts) {}

  // The host has stored into a page of the range that nobody had touched. Gives it the first pages
  // of the ranges behind that one, as far as a streak of such stores suggests.
  void look_ahead(const Range& range) noexcept;

 private:
  struct Neighbour {
    Claim claim;  // ends before the pin does
    Pin range;
  };

  [[nodiscard]] bool plan(Address cell, std::size_t number) noexcept;

  const FirstTouchesParts parts_;
  std::atomic<bool> busy_{false};  // a thread uses what follows; others do without
  TouchStreak streak_;
  std::array<Neighbour, TouchStreak::most_ahead> neighbours_;
  std::array<Task, TouchStreak::most_ahead> tasks_;
};

}  // namespace sluice::engine
