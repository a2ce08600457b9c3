// BlockMover: brings bytes of one block to a location, for the holder of the block's claim.
//
// All journeys and requests share it. It is thread-safe and allocates nothing, so fault-handler
// threads use it, too.
#pragma once

#include <optional>

#include "base/result.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/stages.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {

class BlockMover {
 public:
  BlockMover(ReadinessTracker& readiness, Stages& stages, const plan::Abilities& abilities) noexcept
      : readiness_(readiness), stages_(stages), abilities_(abilities) {}

  // Returns a kernel that is in the way; nothing was changed then.
  [[nodiscard]] Result<std::optional<ActiveUse>> bring(Range& range, Block& block,
                                                       const plan::Request& request, Cause cause)
      SLUICE_REQUIRES(block.claim);
  // Returns the rights and pages that the plan for the request takes from others.
  [[nodiscard]] RevokeRequest revoke_request_for(const plan::Request& request,
                                                 const Task& task) const noexcept;
  // The pages that move with `pages`: those of a huge page of the host, or of a granule of a
  // device.
  [[nodiscard]] PageMask widen(const Block& block, PageMask pages,
                               HostPages host_pages) const noexcept;
  // The next launch looks again at blocks of the span that devices map in host memory for a
  // reason that may be gone. Takes their claims.
  void reconsider(Range& range, AddressSpan span);

 private:
  ReadinessTracker& readiness_;
  Stages& stages_;
  const plan::Abilities& abilities_;
};

}  // namespace sluice::engine
