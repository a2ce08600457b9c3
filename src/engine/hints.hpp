// Hints: a program's statements about its bytes without an access: advice, eviction on request, and
// discard.
#pragma once

#include <optional>

#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/losses.hpp"
#include "engine/range_table.hpp"
#include "engine/residency_manager.hpp"
#include "fault/fault_source.hpp"
#include "os/host_memory.hpp"
#include "sluice/advice.hpp"

namespace sluice::engine {

// The parts of an engine that hints work with.
struct HintsParts {
  const RangeTable& ranges;
  const transfer::Timelines& timelines;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  BlockMover& mover;
  os::HostMemory& memory;
  fault::FaultSource& source;
  const plan::Abilities& abilities;
  bool keeps_host_memory;  // a device does
  const DeviceLosses& losses;
};

// Thread-safe. Devices and locations are known to the space.
class Hints {
 public:
  explicit Hints(const HintsParts& parts) noexcept : parts_(parts) {}

  [[nodiscard]] Result<void> advise(AddressSpan span, AdviceKind kind, Location location);
  // Evicts to the host, without rights. Waits for kernels; refused where leased or mapped.
  [[nodiscard]] Result<void> evict(AddressSpan span, int device);
  // The span reads as zeros afterwards. As evict().
  [[nodiscard]] Result<void> discard(AddressSpan span);

 private:
  [[nodiscard]] Result<std::optional<ActiveUse>> discard_block(Range& range, Block& block,
                                                               AddressSpan part);

  const HintsParts parts_;
};

}  // namespace sluice::engine
