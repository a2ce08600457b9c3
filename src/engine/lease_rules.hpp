// What leases and mappings of a block allow others.
#pragma once

#include <optional>

#include "base/result.hpp"
#include "engine/range.hpp"

namespace sluice::engine {

// What the leases on a block leave a device that wants to use it: the means that they demand,
// nothing if either will do, or busy. The caller holds the block's claim.
[[nodiscard]] Result<std::optional<plan::Means>> means_under_leases(const Block& block, int device,
                                                                    Access access);

// The error for what may not be done to a block that is leased or mapped; `refused` completes
// "before ...".
[[nodiscard]] tl::unexpected<Error> held_by_leases(const Block& block, const char* refused);

}  // namespace sluice::engine
