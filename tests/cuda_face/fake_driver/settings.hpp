// What the environment asks of the stand-in driver.
//
//   FAKE_CUDA_GPUS=2            how many GPUs it has; 1
//   FAKE_CUDA_MEMORY=512        MiB of memory of each; 2048
//   FAKE_CUDA_STALL=7           kernels and copies take their time, drawn from this seed
//   FAKE_CUDA_GAP=1             no kernel survives that a right to memory that it uses is changed:
//                               a card may have a moment without the right
//   FAKE_CUDA_FAIL=cuMemMap:3   the third call of cuMemMap fails with CUDA_ERROR_OUT_OF_MEMORY;
//                               cuMemSetAccess:1:600 chooses the error, cuMemCreate:5+ fails from
//                               the fifth call on; several are separated by commas
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/driver.hpp"

namespace sluice::fake_cuda {

using device::cuda::CUresult;

struct Settings {
  int gpus = 1;
  std::size_t memory = std::size_t{2} << 30;  // bytes of each
  std::uint64_t stall = 0;                    // 0: never
  bool gap = false;
};
[[nodiscard]] const Settings& settings();

// Counts a call, and says with which error it is to fail; success: it is carried out.
[[nodiscard]] CUresult injected_error(const char* entry);

// How many calls of an entry there were so far, or of all entries (null).
extern "C" __attribute__((visibility("default"))) std::uint64_t fake_cuda_calls(const char* entry);

// Where a GPU may take its time: once in so many calls, up to some hundred microseconds.
void stall(std::uint64_t one_in = 4);

}  // namespace sluice::fake_cuda
