// Types and constants of NVIDIA's driver that programs use and the back end does not, as the CUDA
// Driver API reference gives them.
#pragma once

#include "device/cuda/driver.hpp"

namespace sluice::cuda {

using device::cuda::CUcontext;
using device::cuda::CUdevice;
using device::cuda::CUdeviceptr;
using device::cuda::CUfunction;
using device::cuda::CUmemLocation;
using device::cuda::CUresult;
using device::cuda::CUstream;
using device::cuda::success;

// NOLINTBEGIN(readability-identifier-naming): the driver's own names
using CUgraphExec = struct CUgraphExec_st*;
struct CUlaunchConfig;    // only its first members are read: LaunchConfig
struct CUDA_MEMCPY2D_st;  // passed on as they are
struct CUDA_MEMCPY3D_st;
struct CUDA_MEMCPY3D_PEER_st;
using CUarray = struct CUarray_st*;
// NOLINTEND(readability-identifier-naming)

struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  CUstream stream;
};

constexpr CUresult invalid_value = 1;
constexpr CUresult out_of_memory = 2;
constexpr CUresult invalid_device = 101;
constexpr CUresult not_found = 500;
constexpr CUresult not_supported = 801;

constexpr unsigned attach_global = 1;  // CU_MEM_ATTACH_*
constexpr unsigned attach_host = 2;

// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD.
inline CUstream per_thread_stream() noexcept {
  return reinterpret_cast<CUstream>(2);  // NOLINT(performance-no-int-to-ptr)
}
// A stream of an entry whose default stream is the thread's own.
inline CUstream per_thread(CUstream stream) noexcept {
  return stream != nullptr ? stream : per_thread_stream();
}

}  // namespace sluice::cuda
