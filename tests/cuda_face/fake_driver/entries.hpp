// How the driver's entries are written here: FAKE_ENTRY(name, (parameters)) { FAKE_ENTER(); ... }.
// A function has the entry's own name and is exported; there is no other list of them.
#pragma once

#include "cuda_face/fake_driver/context.hpp"

namespace sluice::fake_cuda {

using device::cuda::CUcontext;
using device::cuda::CUdevice;
using device::cuda::CUevent;
using device::cuda::CUfunction;
using device::cuda::CUmemAccessDesc;
using device::cuda::CUmemAllocationProp;
using device::cuda::CUmemGenericAllocationHandle;
using device::cuda::CUmemLocation;
using device::cuda::CUmodule;
using device::cuda::success;

// The calling thread's current context, which FAKE_ENTER_CONTEXT found.
[[nodiscard]] inline Context& here() { return *current_context(); }

[[nodiscard]] inline std::byte* bytes_at(CUdeviceptr address) noexcept {
  return reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace sluice::fake_cuda

#define FAKE_ENTRY(name, parameters)                                          \
  extern "C" __attribute__((visibility("default"))) CUresult name parameters; \
  CUresult name parameters
// For entries that need no context, and for those that do.
#define FAKE_ENTER() \
  if (const CUresult refused = enter(__func__); refused != success) return refused
#define FAKE_ENTER_CONTEXT() \
  if (const CUresult refused = enter_context(__func__); refused != success) return refused
