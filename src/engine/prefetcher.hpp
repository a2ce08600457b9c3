// Prefetcher: takes hints that bytes will be wanted somewhere, on a thread of its own.
#pragma once

#include <atomic>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/jobs.hpp"
#include "engine/prefetch_part.hpp"
#include "engine/range_table.hpp"
#include "engine/residency_manager.hpp"
#include "engine/worker.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"

namespace sluice::engine {

// The parts of an engine that prefetches work with.
struct PrefetcherParts {
  const RangeTable& ranges;
  transfer::Timelines& timelines;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  BlockMover& mover;
  fault::FaultSource& source;
  const plan::Abilities& abilities;
  const std::atomic<std::uint64_t>& launches;  // how many there were
  observe::Observer& observer;
};

// Thread-safe.
class Prefetcher {
 public:
  explicit Prefetcher(const PrefetcherParts& parts) noexcept : parts_(parts) {}

  [[nodiscard]] Result<void> start() {
    return jobs_.start("sluice-prefetch", [this](const PrefetchJob& job) { run(job); });
  }
  void stop() noexcept { jobs_.stop(); }
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { jobs_.forget(); }

  // Returns at once. The fence is of the engine's own timeline. `to` is known to the space.
  [[nodiscard]] Result<device::Fence> prefetch(AddressSpan span, Location to);

 private:
  void run(const PrefetchJob& job) noexcept;
  void run_parts(const PrefetchJob& job);
  [[nodiscard]] bool begin_part(const PrefetchJob& job, PrefetchPart& part, std::size_t most);
  [[nodiscard]] bool end_part(PrefetchPart* part) noexcept;
  [[nodiscard]] Result<void> plan_block(Range& range, Block& block, const PrefetchJob& job,
                                        std::vector<Task>& tasks,
                                        std::optional<ActiveUse>& obstacle)
      SLUICE_REQUIRES(block.claim);

  const PrefetcherParts parts_;
  Worker<PrefetchJob> jobs_;
};

}  // namespace sluice::engine
