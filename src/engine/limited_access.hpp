// LimitedAccesses: answers the accesses of launches that strict mode limits to what they name.
#pragma once

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/device_access.hpp"
#include "engine/device_event_queue.hpp"
#include "engine/range_table.hpp"
#include "engine/residency_manager.hpp"
#include "engine/strict_mode.hpp"
#include "observe/observe.hpp"

namespace sluice::engine {

// The parts of an engine that such accesses are answered with.
struct LimitedAccessesParts {
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  BlockMover& mover;
  const plan::Abilities& abilities;
  StrictMode& strict;
  DeviceAnswers& answers;
  DeviceEventQueue& events;
  observe::Observer& observer;
};

// Only the one thread that receives accesses may call it.
class LimitedAccesses {
 public:
  explicit LimitedAccesses(const LimitedAccessesParts& parts) noexcept : parts_(parts) {}

  // Gives the page and lets the access go on, or ends the kernel. An access that has to wait is put
  // back into the queue of events.
  void answer(const DeviceEvent& event) noexcept;

 private:
  [[nodiscard]] bool note_undeclared(Range& range, const DeviceEvent& event, LimitedLaunch& launch);
  [[nodiscard]] Result<FaultOutcome> give_limited_page(Range& range, Block& block,
                                                       const DeviceEvent& event,
                                                       LimitedLaunch* launch)
      SLUICE_EXCLUDES(block.claim);
  [[nodiscard]] Result<FaultOutcome> bring_limited_page(Range& range, Block& block,
                                                        const PageMask& pages,
                                                        const DeviceEvent& event)
      SLUICE_REQUIRES(block.claim);

  const LimitedAccessesParts parts_;
};

}  // namespace sluice::engine
