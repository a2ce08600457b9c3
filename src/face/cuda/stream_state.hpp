// Streams that record, and host functions that streams are about to call: launches ask for both.
#pragma once

#include <atomic>

#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// How many streams may record, and how many host functions have yet to return.
inline constinit std::atomic<int> recordings{0};
inline constinit std::atomic<int> host_functions{0};

[[nodiscard]] bool is_capturing(CUstream stream) noexcept;
// Costs a load while no stream of the program's records.
[[nodiscard]] inline bool is_recording(CUstream stream) noexcept {
  return recordings.load(std::memory_order_relaxed) != 0 && is_capturing(stream);
}

// A host function may touch managed memory, and would wait for launches that come behind it in its
// stream. So launches wait here until the functions have returned; for a second at most, in case
// one waits for this thread.
void wait_for_host_functions() noexcept;
inline void await_host_functions() noexcept {
  if (host_functions.load(std::memory_order_acquire) != 0) [[unlikely]]
    wait_for_host_functions();
}

}  // namespace sluice::cuda
