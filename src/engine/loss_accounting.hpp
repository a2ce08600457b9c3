// LossAccounting: finds bytes that existed only on a lost device, block by block.
#pragma once

#include <vector>

#include "engine/losses.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/residency_manager.hpp"
#include "engine/stages.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"

namespace sluice::engine {

// The parts of an engine that losses are accounted for with.
struct LossAccountingParts {
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  fault::FaultSource& source;
  observe::Observer& observer;
  DeviceLosses& losses;
};

// Only the one thread that receives losses may call it.
class LossAccounting {
 public:
  explicit LossAccounting(const LossAccountingParts& parts) noexcept : parts_(parts) {}

  // Afterwards the device holds nothing, and the directory knows which bytes are lost. Waits for
  // the blocks' claims.
  void give_up(int device) noexcept;

 private:
  [[nodiscard]] std::vector<Pin> every_range() const noexcept;
  [[nodiscard]] PageMask give_up_borrowed(Block& block, int device) noexcept
      SLUICE_REQUIRES(block.claim);
  void unmap_peers(Range& range, Block& block) noexcept SLUICE_REQUIRES(block.claim);

  const LossAccountingParts parts_;
};

}  // namespace sluice::engine
