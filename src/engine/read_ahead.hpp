// ReadAhead: fetches bytes that a thread of the host will want next, or the rest of a block that it
// began, on threads of its own. For a writer it makes memory that did not exist yet, and has what
// was written registered with the devices that want that.
#pragma once

#include <atomic>
#include <deque>
#include <vector>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/density_guesses.hpp"
#include "engine/jobs.hpp"
#include "engine/memory_headroom.hpp"
#include "engine/range_table.hpp"
#include "engine/worker.hpp"
#include "fault/fault_source.hpp"
#include "os/host_memory.hpp"
#include "plan/planner.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

// The parts of an engine that read-ahead works with.
struct ReadAheadParts {
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  BlockMover& mover;
  os::HostMemory& memory;
  MemoryHeadroom& headroom;
  const transfer::Devices& devices;
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
  void look_ahead(Range& range, Block& block, const plan::Window& window, Access access,
                  AheadJob::Purpose purpose) noexcept;
  // Asks for the rest of the block, and gives its claim up.
  void fetch_rest(Range& range, Block& block, Claim claim, Access access) noexcept;
  // The host stores to an untouched block for the first time. Takes a huge page for it unless the
  // range is known to be sparse.
  void guess_density(Range& range, Block& block, std::int32_t thread) noexcept;
  // All memory of the block exists, for a writer. Has it registered once that is true of its
  // neighbours, some blocks at a time, and has the only device map memory for the range.
  void note_filled(Range& range, Block& block) noexcept;

 private:
  void work(const AheadJob& job) noexcept;
  void fetch_group(Range& range, const AheadJob& job);
  [[nodiscard]] bool make_ready_to_plan(Block& block, const AheadJob& job) const noexcept
      SLUICE_REQUIRES(block.claim);
  void plan_block(Range& range, Block& block, const AheadJob& job, std::vector<Task>& tasks)
      SLUICE_REQUIRES(block.claim);
  void prepare(Range& range, const AheadJob& job) noexcept;
  void shrink(const AheadJob& job) noexcept;
  void give_up_guesses() noexcept;
  void register_group(Range& range, const AheadJob& job) const noexcept;
  void register_span(AddressSpan span) const noexcept;

  const ReadAheadParts parts_;
  bool devices_keep_host_memory_ = false;
  DensityGuesses guesses_;
  std::atomic<bool> is_roomy_{false};  // as a thread that may allocate saw it last
  fault::FaultSource* source_ = nullptr;
  std::deque<Worker<AheadJob>> workers_;  // as many as the machine has to spare
  // Registers memory, one piece at a time, as drivers do. Runs where devices keep host memory.
  Worker<AheadJob> registrar_;
};

}  // namespace sluice::engine
