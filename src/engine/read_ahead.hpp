// ReadAhead: fetches bytes that a reader on the host will want next, or the rest of a block that it
// began, on threads of its own.
#pragma once

#include <deque>
#include <vector>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/jobs.hpp"
#include "engine/range_table.hpp"
#include "engine/worker.hpp"
#include "fault/fault_source.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {

// The parts of an engine that read-ahead works with.
struct ReadAheadParts {
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  BlockMover& mover;
  const plan::Abilities& abilities;
};

class ReadAhead {
 public:
  explicit ReadAhead(const ReadAheadParts& parts) : parts_(parts) {}

  [[nodiscard]] Result<void> start(fault::FaultSource& source);
  void stop() noexcept;
  // Call in a forked child, where the threads do not exist.
  void forget() noexcept;

  // On fault-handler threads, with the block's claim: neither allocates nor waits.
  // Asks for blocks after this one, as far as the reader's window goes.
  void look_ahead(Range& range, Block& block, const plan::Window& window, Access access) noexcept;
  // Asks for the rest of the block, and gives its claim up.
  void fetch_rest(Range& range, Block& block, Claim claim, Access access) noexcept;

 private:
  void fetch(const AheadJob& job) noexcept;
  void fetch_group(Range& range, const AheadJob& job);
  void plan_block(Range& range, Block& block, Access access, std::vector<Task>& tasks)
      SLUICE_REQUIRES(block.claim);

  const ReadAheadParts parts_;
  fault::FaultSource* source_ = nullptr;
  std::deque<Worker<AheadJob>> workers_;  // as many as the machine has to spare
};

}  // namespace sluice::engine
