// LaunchPreparation: makes ready the blocks that a launch may not yet touch.
#pragma once

#include <optional>
#include <vector>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/launch.hpp"
#include "engine/relocations.hpp"
#include "engine/residency_manager.hpp"
#include "fault/fault_source.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// The parts of an engine that launches are made ready with.
struct LaunchPreparationParts {
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  Relocations& relocations;
  BlockMover& mover;
  const fault::FaultSource& source;
  const plan::Abilities& abilities;
};

// Thread-safe.
class LaunchPreparation {
 public:
  explicit LaunchPreparation(const LaunchPreparationParts& parts) noexcept : parts_(parts) {}

  // Claims the blocks that are not ready, and brings their bytes. The claims stay with the launch.
  // A kernel in the way is noted as its obstacle.
  [[nodiscard]] Result<void> make_ready(LaunchState& launch);

 private:
  void find_targets(LaunchState& launch);
  [[nodiscard]] Result<void> choose_means(LaunchState& launch);
  void choose_lender(int device, Target& target) const;
  void note_ownership_transfer(int device, const Target& target);
  [[nodiscard]] Result<void> refuse_overflow(const LaunchState& launch) const;
  [[nodiscard]] Result<bool> make_room(LaunchState& launch);
  [[nodiscard]] std::optional<ActiveUse> plan_target(int device, const Target& target,
                                                     std::vector<Task>& tasks);
  [[nodiscard]] Result<void> bring_targets(LaunchState& launch);

  const LaunchPreparationParts parts_;
};

}  // namespace sluice::engine
