// Fences: of devices and of the engine's own timeline (prefetch), polled and waited for.
#pragma once

#include "base/result.hpp"
#include "engine/entry_checks.hpp"
#include "engine/fatal_faults.hpp"
#include "engine/losses.hpp"
#include "engine/owed_rights.hpp"
#include "engine/readiness_tracker.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

// The parts of an engine that waiting works with.
struct FencesParts {
  const EntryChecks& checks;
  const transfer::Timelines& timelines;
  ReadinessTracker& readiness;
  OwedRights& owed;
  const FatalFaults& fatal_faults;
  const DeviceLosses& losses;
};

// Thread-safe. Before a call reports that a kernel has ended, the host gets back the rights that it
// is owed.
class Fences {
 public:
  explicit Fences(const FencesParts& parts) noexcept : parts_(parts) {}

  [[nodiscard]] device::FenceState poll(device::Fence fence) const noexcept;
  [[nodiscard]] Result<void> wait(device::Fence fence, const device::Wait& how) const;
  // Waits until every launch and prefetch submitted before the call is complete. Returns the first
  // failure.
  [[nodiscard]] Result<void> synchronize(const device::Wait& how) const;
  // The same for the end of a space, where failures are not reported. It needs no memory.
  void synchronize_at_end() const noexcept;

 private:
  const FencesParts parts_;
};

}  // namespace sluice::engine
