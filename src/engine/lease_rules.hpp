// The rules for access by others to a block that is leased or mapped.
#pragma once

#include <optional>

#include "base/result.hpp"
#include "engine/range.hpp"

namespace sluice::engine {

// Returns the means that the leases on a block leave a device that wants to use it: the one that
// they demand, nothing if either will do, or busy.
[[nodiscard]] Result<std::optional<plan::Means>> means_under_leases(const Block& block, int device,
                                                                    Access access)
    SLUICE_REQUIRES(block.claim);

// The error for an operation that a lease or mapping of the block forbids; `refused` completes
// "before ...".
[[nodiscard]] tl::unexpected<Error> held_by_leases(const Block& block, const char* refused)
    SLUICE_REQUIRES(block.claim);

}  // namespace sluice::engine
