// FaultPlan: the steps of one device that fail, hang, are slow, are interrupted or kill it.
// docs/fault-plan.md defines the language.
//
// Without a plan a step costs one relaxed load. The client counts and chooses; the planned fault
// travels with its command to the device, which carries it out.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "device/soft/control_area.hpp"

namespace sluice::device::soft {

enum class Step : std::uint8_t {
  open,
  allocate,
  map,
  unmap,
  copy,
  fill,
  launch,
  kernel,
  queue,
  fence,
  reset,
  peer,
  room,
  stop
};

struct PlannedFault {
  PlannedAction what = PlannedAction::nothing;
  std::uint32_t milliseconds = 0;  // of `slow`
};

class FaultPlan {
 public:
  explicit FaultPlan(int device) noexcept : device_(device) {}

  // Puts `plan` in force instead of the one before; empty: none. Rules for other devices are
  // checked and left out. invalid_argument names the word that is wrong; then the old plan stays.
  [[nodiscard]] Result<void> replace(std::string_view plan) SLUICE_EXCLUDES(mutex_);

  // Counts one more of `step` and returns its planned fault: that of the first rule that applies.
  // `interruptible`: true if an interruption could be delivered; if not, such rules do not count
  // this step.
  [[nodiscard]] PlannedFault next(Step step, bool interruptible = false) noexcept {
    return in_force_.load(std::memory_order_relaxed) ? choose(step, interruptible) : PlannedFault{};
  }

 private:
  struct Rule {
    Step step{};
    PlannedFault fault;
    std::uint64_t nth = 0;    // only this one; 0: not given
    std::uint64_t every = 1;  // each so many
    std::uint64_t seen = 0;
  };

  [[nodiscard]] Result<void> parse(std::string_view plan, std::vector<Rule>& rules) const;
  [[nodiscard]] Result<bool> parse_rule(std::string_view text, Rule& rule) const;
  [[nodiscard]] PlannedFault choose(Step step, bool interruptible) noexcept SLUICE_EXCLUDES(mutex_);

  int device_;
  std::atomic<bool> in_force_{false};
  RankedMutex mutex_{LockRank::queue, "fault plan"};
  std::vector<Rule> rules_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::soft
