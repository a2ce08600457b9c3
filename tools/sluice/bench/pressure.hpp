// Pressure: the bytes moved when a working set is larger than a device's budget, against the least
// that any order of eviction could move.
#pragma once

#include <cstddef>
#include <vector>

#include "bench/bench.hpp"
#include "sluice/options.hpp"

namespace sluice::tool::bench {

constexpr std::size_t pressed_buffers = 32;  // fit at a time

// On device 0 of a space with these options and room for that many buffers of `buffer_size` bytes.
[[nodiscard]] std::vector<Case> pressure_on(SpaceOptions options, std::size_t buffer_size);

}  // namespace sluice::tool::bench
