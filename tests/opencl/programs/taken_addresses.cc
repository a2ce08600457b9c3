// A library that takes the addresses of OpenCL's functions, as wrappers and language bindings do,
// and calls through them.
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>

namespace {

const struct {
  decltype(&clGetPlatformInfo) platform_info;
  decltype(&clGetDeviceIDs) device_ids;
  decltype(&clCreateContext) create_context;
  decltype(&clReleaseContext) release_context;
  decltype(&clSVMAlloc) allocate;
  decltype(&clSVMFree) free;
} functions = {clGetPlatformInfo, clGetDeviceIDs, clCreateContext,
               clReleaseContext,  clSVMAlloc,     clSVMFree};

}  // namespace

extern "C" __attribute__((visibility("default"))) int use_taken_addresses() {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  cl_int status = CL_SUCCESS;
  char extensions[65536] = {};
  if (clGetPlatformIDs(1, &platform, nullptr) != CL_SUCCESS) return 1;
  if (functions.platform_info(platform, CL_PLATFORM_EXTENSIONS, sizeof(extensions), extensions,
                              nullptr) != CL_SUCCESS)
    return 2;
  if (__builtin_strstr(extensions, "cl_intel_unified_shared_memory") == nullptr) return 3;
  if (functions.device_ids(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) != CL_SUCCESS)
    return 4;
  const cl_context context =
      functions.create_context(nullptr, 1, &device, nullptr, nullptr, &status);
  if (status != CL_SUCCESS) return 5;
  void* const pointer = functions.allocate(context, CL_MEM_READ_WRITE, 4096, 4096);
  if (pointer == nullptr) return 6;
  functions.free(context, pointer);
  return functions.release_context(context) == CL_SUCCESS ? 0 : 7;
}
