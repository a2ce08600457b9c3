// HostAccess: answers host accesses to pages without sufficient rights. Journey 1.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/first_touches.hpp"
#include "engine/parked.hpp"
#include "engine/range_table.hpp"
#include "engine/read_ahead.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "os/host_memory.hpp"
#include "plan/planner.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// The parts of an engine that host accesses are answered with.
struct HostAccessParts {
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  BlockMover& mover;
  os::HostMemory& memory;
  MemoryHeadroom& headroom;
  const plan::Abilities& abilities;
  observe::Observer& observer;
};

// Exists before the fault source does, and outlives it.
class HostAccess final : public fault::Resolver {
 public:
  explicit HostAccess(const HostAccessParts& parts)
      : parts_(parts),
        visits_({parts.ranges, parts.readiness, parts.mover, parts.memory, parts.devices,
                 parts.timelines}),
        parked_(parts.timelines, visits_, parts.observer, parts.options),
        ahead_({parts.ranges, parts.readiness, parts.stages, parts.mover, parts.memory,
                parts.headroom, parts.devices, parts.abilities}),
        first_touches_({parts.ranges, parts.readiness, parts.stages, parts.abilities}) {}

  // Call before the source watches anything.
  [[nodiscard]] Result<void> start(fault::FaultSource& source);
  void stop_reading_ahead() noexcept { ahead_.stop(); }
  // Accesses that wait for a kernel stay parked.
  void stop() noexcept { parked_.stop(); }
  // Accesses that wait for kernels too long visit (visits.hpp).
  void allow_visits() { visits_.allow(); }
  void await_visit() const noexcept { visits_.await_end(); }
  // Call in a forked child, where the threads do not exist.
  void forget() noexcept;

  // Runs on a thread of the fault source or, in Grade::signal, in the signal handler of the thread
  // that made the access: neither allocates nor touches managed memory.
  [[nodiscard]] AddressSpan resolve(const fault::AccessFault& access) noexcept override;
  // While a trace records: at most once in so many times of what a look takes.
  [[nodiscard]] std::uint64_t clock() const noexcept override { return parts_.observer.clock(); }
  [[nodiscard]] bool wants_code(std::uint64_t began) noexcept override;

 private:
  [[nodiscard]] AddressSpan answer_stray(const fault::AccessFault& access) noexcept;
  [[nodiscard]] AddressSpan give_access(Range& range, Block& block, Claim claim,
                                        const fault::AccessFault& access,
                                        std::uint64_t link) noexcept;
  // The rights to take for an access; `loaded_before`: the host might read the page already.
  [[nodiscard]] Access with_forecast(Block& block, Access access, bool loaded_before)
      SLUICE_REQUIRES(block.claim);
  [[nodiscard]] plan::Window window_for(Range& range, Block& block, Address page, bool all_wanted);
  [[nodiscard]] AddressSpan give_again(Range& range, Block& block,
                                       const fault::AccessFault& access) noexcept
      SLUICE_REQUIRES(block.claim);
  [[nodiscard]] AddressSpan refuse(const fault::AccessFault& access, const char* why) noexcept;

  const HostAccessParts parts_;
  fault::FaultSource* source_ = nullptr;
  Visits visits_;
  ParkedAccesses parked_;
  ReadAhead ahead_;
  FirstTouches first_touches_;
  std::atomic<std::uint64_t> next_look_{0};  // at the instruction of an access: observe::now()
};

}  // namespace sluice::engine
