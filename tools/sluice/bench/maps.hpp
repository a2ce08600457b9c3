// The cost of mapping one range on N devices, in several ways: for software devices and for GPUs.
#pragma once

#include <vector>

#include "bench/bench.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {

// Devices 0 to `devices` - 1. A device range must be device 0's: that is its owner, which has it
// mapped from the start. One round more than asked for comes first and is not counted. The cases
// are described in bench/maps.cc.
[[nodiscard]] std::vector<Case> measure_maps(const Space& space, const Range& range, int devices,
                                             int rounds);

}  // namespace sluice::tool::bench
