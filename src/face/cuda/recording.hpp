// Streams that record: what is put into them runs later.
#pragma once

#include <atomic>

#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// How many streams may record.
inline constinit std::atomic<int> recordings{0};

[[nodiscard]] bool is_capturing(CUstream stream) noexcept;
// Costs a load while no stream of the program's records.
[[nodiscard]] inline bool is_recording(CUstream stream) noexcept {
  return recordings.load(std::memory_order_relaxed) != 0 && is_capturing(stream);
}

}  // namespace sluice::cuda
