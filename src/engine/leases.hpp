// Leases: promises, with an end, that the bytes of a span stay where they are.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "engine/block_mover.hpp"
#include "engine/losses.hpp"
#include "engine/range_table.hpp"
#include "engine/relocations.hpp"
#include "engine/requests.hpp"
#include "engine/reservation.hpp"
#include "engine/residency_manager.hpp"
#include "fault/fault_source.hpp"

namespace sluice::engine {

// The parts of an engine that leases work with.
struct LeasesParts {
  const RangeTable& ranges;
  const transfer::Timelines& timelines;
  ResidencyManager& residency;
  Relocations& relocations;
  BlockMover& mover;
  fault::FaultSource& source;
  const DeviceLosses& losses;
};

// Thread-safe.
class Leases {
 public:
  explicit Leases(const LeasesParts& parts) noexcept : parts_(parts) {}

  // Space::lease(). Brings the bytes to `location`, which is known to the space.
  [[nodiscard]] Result<LeaseId> begin(AddressSpan span, Location location, Access access)
      SLUICE_EXCLUDES(mutex_);
  // Without effect for a lease that has ended.
  void end(LeaseId id) noexcept SLUICE_EXCLUDES(mutex_);

 private:
  struct Lease {
    Pin range;
    AddressSpan span;
    Location location = Location::host();
    Access access = Access::read;
    Address held_to{};  // the blocks before this count it
  };
  // The result of one attempt on a block. If no member is set, the block has moved away.
  struct Attempt {
    bool done = false;
    std::optional<ActiveUse> obstacle;
    std::optional<Provision> lack;  // of room for the block
  };

  [[nodiscard]] Result<void> lease_block(Range& range, Block& block, const Lease& lease);
  [[nodiscard]] Result<Attempt> attempt(Range& range, Block& block, const Lease& lease,
                                        Reservation& reservation);
  void release_blocks(const Lease& lease) noexcept;

  const LeasesParts parts_;
  RankedMutex mutex_{LockRank::leases, "leases"};
  std::uint64_t last_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, std::unique_ptr<Lease>> leases_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::engine
