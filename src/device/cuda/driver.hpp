// Driver: NVIDIA's driver interface (libcuda.so.1), loaded at run time.
//
// Sluice builds on machines without CUDA, so the few types and constants that it needs are declared
// here, as the CUDA Driver API reference gives them (CUDA 13; the calls are those of 12.4). Nothing
// is linked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.hpp"

namespace sluice::device::cuda {

// NOLINTBEGIN(readability-identifier-naming): the driver's own names
using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUmemGenericAllocationHandle = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;  // NOLINT(bugprone-forward-declaration-namespace)
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUevent = struct CUevent_st*;

struct CUmemLocation {
  int type;
  int id;
};
struct CUmemAllocationProp {
  int type;
  int requestedHandleTypes;
  CUmemLocation location;
  void* win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};
struct CUmemAccessDesc {
  CUmemLocation location;
  int flags;
};
// NOLINTEND(readability-identifier-naming)

constexpr CUresult success = 0;
constexpr CUresult error_out_of_memory = 2;
constexpr CUresult error_not_ready = 600;

constexpr int allocation_pinned = 1;         // CU_MEM_ALLOCATION_TYPE_PINNED
constexpr int location_device = 1;           // CU_MEM_LOCATION_TYPE_DEVICE
constexpr int location_host = 2;             // CU_MEM_LOCATION_TYPE_HOST
constexpr int location_host_numa = 3;        // CU_MEM_LOCATION_TYPE_HOST_NUMA
constexpr int access_read_write = 3;         // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
constexpr unsigned register_portable = 1;    // CU_MEMHOSTREGISTER_PORTABLE: for all contexts
constexpr unsigned register_device_map = 2;  // CU_MEMHOSTREGISTER_DEVICEMAP: kernels reach it
constexpr unsigned stream_non_blocking = 1;
constexpr int priority_normal = 0;
constexpr int priority_first = -5;          // the driver takes the most urgent that it has
constexpr unsigned event_without_time = 2;  // CU_EVENT_DISABLE_TIMING
constexpr int attribute_multiprocessors = 16;
constexpr int attribute_host_native_atomics = 86;
constexpr int attribute_host_numa_node = 134;
constexpr int attribute_host_numa_memory = 141;

// Every entry that is used: X(member, symbol, parameters). A symbol's suffix is its ABI version.
#define SLUICE_CUDA_ENTRIES(X)                                                                     \
  X(init, cuInit, (unsigned))                                                                      \
  X(error_name, cuGetErrorName, (CUresult, const char**))                                          \
  X(device_count, cuDeviceGetCount, (int*))                                                        \
  X(device_name, cuDeviceGetName, (char*, int, CUdevice))                                          \
  X(device_memory, cuDeviceTotalMem_v2, (std::size_t*, CUdevice))                                  \
  X(device_attribute, cuDeviceGetAttribute, (int*, int, CUdevice))                                 \
  X(can_access_peer, cuDeviceCanAccessPeer, (int*, CUdevice, CUdevice))                            \
  X(context_retain, cuDevicePrimaryCtxRetain, (CUcontext*, CUdevice))                              \
  X(context_release, cuDevicePrimaryCtxRelease_v2, (CUdevice))                                     \
  X(context_current, cuCtxGetCurrent, (CUcontext*))                                                \
  X(context_push, cuCtxPushCurrent_v2, (CUcontext))                                                \
  X(context_pop, cuCtxPopCurrent_v2, (CUcontext*))                                                 \
  X(memory_info, cuMemGetInfo_v2, (std::size_t*, std::size_t*))                                    \
  X(address_reserve, cuMemAddressReserve,                                                          \
    (CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long))                     \
  X(address_free, cuMemAddressFree, (CUdeviceptr, std::size_t))                                    \
  X(memory_create, cuMemCreate,                                                                    \
    (CUmemGenericAllocationHandle*, std::size_t, const CUmemAllocationProp*, unsigned long long))  \
  X(memory_release, cuMemRelease, (CUmemGenericAllocationHandle))                                  \
  X(memory_map, cuMemMap,                                                                          \
    (CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle, unsigned long long))     \
  X(memory_unmap, cuMemUnmap, (CUdeviceptr, std::size_t))                                          \
  X(memory_set_access, cuMemSetAccess,                                                             \
    (CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t))                               \
  X(host_register, cuMemHostRegister_v2, (void*, std::size_t, unsigned))                           \
  X(host_unregister, cuMemHostUnregister, (void*))                                                 \
  X(host_allocate, cuMemHostAlloc, (void**, std::size_t, unsigned))                                \
  X(host_free, cuMemFreeHost, (void*))                                                             \
  X(copy, cuMemcpyAsync, (CUdeviceptr, CUdeviceptr, std::size_t, CUstream))                        \
  X(fill, cuMemsetD8Async, (CUdeviceptr, unsigned char, std::size_t, CUstream))                    \
  X(stream_create, cuStreamCreateWithPriority, (CUstream*, unsigned, int))                         \
  X(stream_destroy, cuStreamDestroy_v2, (CUstream))                                                \
  X(stream_query, cuStreamQuery, (CUstream))                                                       \
  X(stream_synchronize, cuStreamSynchronize, (CUstream))                                           \
  X(stream_write, cuStreamWriteValue64_v2, (CUstream, CUdeviceptr, std::uint64_t, unsigned))       \
  X(stream_wait, cuStreamWaitEvent, (CUstream, CUevent, unsigned))                                 \
  X(event_create, cuEventCreate, (CUevent*, unsigned))                                             \
  X(event_destroy, cuEventDestroy_v2, (CUevent))                                                   \
  X(event_record, cuEventRecord, (CUevent, CUstream))                                              \
  X(event_query, cuEventQuery, (CUevent))                                                          \
  X(module_load, cuModuleLoad, (CUmodule*, const char*))                                           \
  X(module_load_data, cuModuleLoadData, (CUmodule*, const void*))                                  \
  X(module_count, cuModuleGetFunctionCount, (unsigned*, CUmodule))                                 \
  X(module_list, cuModuleEnumerateFunctions, (CUfunction*, unsigned, CUmodule))                    \
  X(module_unload, cuModuleUnload, (CUmodule))                                                     \
  X(module_function, cuModuleGetFunction, (CUfunction*, CUmodule, const char*))                    \
  X(function_load, cuFuncLoad, (CUfunction))                                                       \
  X(function_parameter, cuFuncGetParamInfo, (CUfunction, std::size_t, std::size_t*, std::size_t*)) \
  X(launch, cuLaunchKernel,                                                                        \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,   \
     void**, void**))

struct Driver {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a name and a list of parameters take none
#define SLUICE_CUDA_MEMBER(member, symbol, parameters) CUresult(*member) parameters = nullptr;
  SLUICE_CUDA_ENTRIES(SLUICE_CUDA_MEMBER)
#undef SLUICE_CUDA_MEMBER

  // The process's driver, initialized; the same object ever after. Loaded at the first call, about
  // 0.1 s. unsupported: there is no libcuda.so.1, an entry is missing, or it finds no GPU; the
  // detail says which.
  [[nodiscard]] static Result<const Driver*> load();
  // Before the first load(): the driver is what programs find by its name, with the CUDA face
  // before it if they are run so, and not the one behind the face.
  static void take_as_programs_do() noexcept;

  // An error of `call`: out_of_device_memory for CUDA_ERROR_OUT_OF_MEMORY, otherwise system. Names
  // the driver's error.
  [[nodiscard]] tl::unexpected<Error> failed(CUresult error, const char* call) const noexcept;
};

// Makes a context current for a scope, and then restores the program's own. Costs nothing if it is
// current already.
class CurrentContext {
 public:
  CurrentContext(const Driver& driver, CUcontext context) noexcept : driver_(driver) {
    CUcontext now = nullptr;
    pushed_ = driver_.context_current(&now) != success || now != context;
    if (pushed_) (void)driver_.context_push(context);
  }
  ~CurrentContext() {
    CUcontext ours = nullptr;
    if (pushed_) (void)driver_.context_pop(&ours);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

 private:
  const Driver& driver_;
  bool pushed_;
};

}  // namespace sluice::device::cuda
