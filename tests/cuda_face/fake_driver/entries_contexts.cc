// Initialization, devices and contexts.
//
// What it does not do: more than one context for a GPU. A program that creates one gets the GPU's
// primary context, which the runtime uses too.
#include <dlfcn.h>

#include <cstring>
#include <string>
#include <string_view>

#include "cuda_face/fake_driver/entries.hpp"

namespace sluice::fake_cuda {
namespace {

constexpr int driver_version = 13000;
constexpr std::uint64_t per_thread_streams = 2;  // CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM

struct Name {
  CUresult error;
  const char* text;
};
constexpr Name names[] = {
    {success, "CUDA_SUCCESS"},
    {error_invalid_value, "CUDA_ERROR_INVALID_VALUE"},
    {device::cuda::error_out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
    {error_not_initialized, "CUDA_ERROR_NOT_INITIALIZED"},
    {error_invalid_device, "CUDA_ERROR_INVALID_DEVICE"},
    {error_invalid_image, "CUDA_ERROR_INVALID_IMAGE"},
    {error_invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
    {error_file_not_found, "CUDA_ERROR_FILE_NOT_FOUND"},
    {error_invalid_handle, "CUDA_ERROR_INVALID_HANDLE"},
    {error_not_found, "CUDA_ERROR_NOT_FOUND"},
    {device::cuda::error_not_ready, "CUDA_ERROR_NOT_READY"},
    {error_illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {error_already_registered, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
    {error_not_registered, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED"},
    {error_launch_failed, "CUDA_ERROR_LAUNCH_FAILED"},
    {error_not_supported, "CUDA_ERROR_NOT_SUPPORTED"},
};

// As an H200 behind PCIe answers; others are 0.
int attribute_value(int attribute, CUdevice device) {
  switch (attribute) {
    case 1:  // threads in a block
      return 1024;
    case device::cuda::attribute_multiprocessors:
      return 4;
    case 33:  // PCI bus
      return 1 + device;
    case 41:   // unified addressing
    case 83:   // managed memory
    case 89:   // concurrent managed access
    case 92:   // stream wait and write operations, 64 bits
    case 95:   // cooperative launches
    case 99:   // host memory at its own address
    case 102:  // virtual-memory calls
    case device::cuda::attribute_host_numa_memory:
      return 1;
    case 75:  // compute capability
      return 9;
    default:
      return 0;
  }
}

bool is_device(CUdevice device) { return device >= 0 && device < settings().gpus; }

// This library, whoever else exports the same names. glibc's handle of a library is its link map.
void* own_library() {
  Dl_info info{};
  void* map = nullptr;
  (void)dladdr1(reinterpret_cast<void*>(&is_device), &info, &map, RTLD_DL_LINKMAP);
  return map;
}

Context* context_of(CUcontext handle) { return reinterpret_cast<Context*>(handle); }

CUresult retain(CUcontext* context, CUdevice device) {
  if (context == nullptr) return error_invalid_value;
  if (!is_device(device)) return error_invalid_device;
  Context& found = primary_context(device);
  ++found.users;
  *context = reinterpret_cast<CUcontext>(&found);
  return success;
}

CUresult release(CUdevice device) {
  if (!is_device(device)) return error_invalid_device;
  Context& context = primary_context(device);
  if (context.users == 0) return error_invalid_context;
  if (--context.users != 0) return success;
  if (context.lost == success) context.wait_until_idle();
  AddressTable::get().remove_all_of(&context);
  return success;
}

}  // namespace

FAKE_ENTRY(cuInit, (unsigned flags)) {
  if (const CUresult error = injected_error(__func__); error != success) return error;
  if (flags != 0) return error_invalid_value;
  initialize();
  return success;
}

FAKE_ENTRY(cuDriverGetVersion, (int* version)) {
  *version = driver_version;
  return success;
}

FAKE_ENTRY(cuGetErrorName, (CUresult error, const char** name)) {
  for (const Name& each : names) {
    if (each.error != error) continue;
    *name = each.text;
    return success;
  }
  *name = nullptr;
  return error_invalid_value;
}

FAKE_ENTRY(cuGetErrorString, (CUresult error, const char** text)) {
  return cuGetErrorName(error, text);
}

// The newest entry of that name that is exported, as the driver answers a program of today.
FAKE_ENTRY(cuGetProcAddress_v2,
           (const char* symbol, void** function, int version, std::uint64_t flags, int* status)) {
  const bool per_thread = flags == per_thread_streams;
  *function = nullptr;
  for (const char* const version_suffix : {"_v4", "_v3", "_v2", ""}) {
    if (version < 3020 && *version_suffix != 0) continue;
    for (const char* const stream_suffix : {"_ptsz", "_ptds", ""}) {
      if (*function != nullptr || (!per_thread && *stream_suffix != 0)) continue;
      const std::string name = std::string(symbol) + version_suffix + stream_suffix;
      *function = dlsym(own_library(), name.c_str());
    }
  }
  if (status != nullptr) *status = *function != nullptr ? 0 : 1;
  return *function != nullptr ? success : error_not_found;
}

// --- devices -------------------------------------------------------------------------------------

FAKE_ENTRY(cuDeviceGet, (CUdevice * device, int ordinal)) {
  FAKE_ENTER();
  if (!is_device(ordinal)) return error_invalid_device;
  *device = ordinal;
  return success;
}

FAKE_ENTRY(cuDeviceGetCount, (int* count)) {
  FAKE_ENTER();
  *count = settings().gpus;
  return success;
}

FAKE_ENTRY(cuDeviceGetName, (char* name, int length, CUdevice device)) {
  FAKE_ENTER();
  if (!is_device(device) || length <= 0) return error_invalid_device;
  std::snprintf(name, static_cast<std::size_t>(length), "Stand-in GPU");
  return success;
}

FAKE_ENTRY(cuDeviceTotalMem_v2, (std::size_t* bytes, CUdevice device)) {
  FAKE_ENTER();
  if (!is_device(device)) return error_invalid_device;
  *bytes = settings().memory;
  return success;
}

FAKE_ENTRY(cuDeviceGetAttribute, (int* value, int attribute, CUdevice device)) {
  FAKE_ENTER();
  if (!is_device(device)) return error_invalid_device;
  *value = attribute_value(attribute, device);
  return success;
}

FAKE_ENTRY(cuDeviceCanAccessPeer, (int* can, CUdevice device, CUdevice peer)) {
  FAKE_ENTER();
  if (!is_device(device) || !is_device(peer)) return error_invalid_device;
  *can = device != peer ? 1 : 0;
  return success;
}

// --- contexts ------------------------------------------------------------------------------------

FAKE_ENTRY(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device)) {
  FAKE_ENTER();
  return retain(context, device);
}

FAKE_ENTRY(cuDevicePrimaryCtxRelease_v2, (CUdevice device)) {
  FAKE_ENTER();
  return release(device);
}

FAKE_ENTRY(cuCtxCreate_v2, (CUcontext * context, unsigned /*flags*/, CUdevice device)) {
  FAKE_ENTER();
  if (context == nullptr) return error_invalid_value;
  if (!is_device(device)) return error_invalid_device;
  Context& made = make_context(device);
  context_stack().push_back(&made);
  *context = reinterpret_cast<CUcontext>(&made);
  return success;
}

FAKE_ENTRY(cuCtxDestroy_v2, (CUcontext context)) {
  FAKE_ENTER();
  if (context == nullptr) return error_invalid_context;
  Context* const ended = context_of(context);
  std::erase(context_stack(), ended);
  if (ended->lost == success) ended->wait_until_idle();
  AddressTable::get().remove_all_of(ended);
  return success;
}

FAKE_ENTRY(cuCtxGetCurrent, (CUcontext * context)) {
  FAKE_ENTER();
  *context = reinterpret_cast<CUcontext>(current_context());
  return success;
}

FAKE_ENTRY(cuCtxSetCurrent, (CUcontext context)) {
  FAKE_ENTER();
  if (!context_stack().empty()) context_stack().pop_back();
  if (context != nullptr) context_stack().push_back(context_of(context));
  return success;
}

FAKE_ENTRY(cuCtxPushCurrent_v2, (CUcontext context)) {
  FAKE_ENTER();
  if (context == nullptr) return error_invalid_context;
  context_stack().push_back(context_of(context));
  return success;
}

FAKE_ENTRY(cuCtxPopCurrent_v2, (CUcontext * context)) {
  FAKE_ENTER();
  if (context_stack().empty()) return error_invalid_context;
  if (context != nullptr) *context = reinterpret_cast<CUcontext>(context_stack().back());
  context_stack().pop_back();
  return success;
}

FAKE_ENTRY(cuCtxGetDevice, (CUdevice * device)) {
  FAKE_ENTER_CONTEXT();
  *device = here().gpu;
  return success;
}

// All addresses are those of all GPUs here.
FAKE_ENTRY(cuCtxEnablePeerAccess, (CUcontext peer, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  return peer != nullptr && flags == 0 ? success : error_invalid_value;
}

FAKE_ENTRY(cuCtxSynchronize, ()) {
  FAKE_ENTER_CONTEXT();
  here().wait_until_idle();
  return here().lost;
}

}  // namespace sluice::fake_cuda
