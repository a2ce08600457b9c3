// What the programs of this area share: a GPU's context and queue, the extension's functions, and
// kernels by source.
//
// They are programs like any user's: they know OpenCL and nothing of Sluice. A failed call ends the
// program with its place.
#pragma once

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace usm {

inline void must(cl_int status, const char* what, int line) {
  if (status == CL_SUCCESS) return;
  std::fprintf(stderr, "line %d: %s: %d\n", line, what, status);
  std::exit(1);
}
#define MUST(call) ::usm::must((call), #call, __LINE__)

// Ends a program that lacks what it is to try; its test counts as skipped.
[[noreturn]] inline void cannot_tell(const char* why) {
  std::printf("skipped: %s\n", why);
  std::exit(77);
}

// What a program has found to be untrue; its status is not 0 then.
inline int failures = 0;
inline void expect(bool truth, const char* what) {
  if (truth) return;
  ++failures;
  std::fprintf(stderr, "%s\n", what);
}

// The versions under which the device names the extension. No list at all: a driver of OpenCL 2.
inline std::optional<std::vector<cl_version>> versions_of(cl_device_id device,
                                                          const char* extension) {
  std::size_t size = 0;
  if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS_WITH_VERSION, 0, nullptr, &size) != CL_SUCCESS)
    return std::nullopt;
  std::vector<cl_name_version> all(size / sizeof(cl_name_version));
  MUST(clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS_WITH_VERSION, size, all.data(), nullptr));
  std::vector<cl_version> versions;
  for (const cl_name_version& one : all)
    if (std::strcmp(one.name, extension) == 0) versions.push_back(one.version);
  return versions;
}

// The first GPU of any platform.
struct World {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;

  clHostMemAllocINTEL_fn host_alloc = nullptr;
  clDeviceMemAllocINTEL_fn device_alloc = nullptr;
  clSharedMemAllocINTEL_fn shared_alloc = nullptr;
  clMemFreeINTEL_fn free = nullptr;
  clMemBlockingFreeINTEL_fn blocking_free = nullptr;
  clGetMemAllocInfoINTEL_fn info = nullptr;
  clSetKernelArgMemPointerINTEL_fn set_pointer = nullptr;
  clEnqueueMemsetINTEL_fn set = nullptr;
  clEnqueueMemFillINTEL_fn fill = nullptr;
  clEnqueueMemcpyINTEL_fn copy = nullptr;
  clEnqueueMigrateMemINTEL_fn migrate = nullptr;
  clEnqueueMemAdviseINTEL_fn advise = nullptr;

  World() {
    cl_uint count = 0;
    clGetPlatformIDs(0, nullptr, &count);
    std::vector<cl_platform_id> platforms(count);
    clGetPlatformIDs(count, platforms.data(), nullptr);
    for (cl_platform_id one : platforms) {
      if (clGetDeviceIDs(one, CL_DEVICE_TYPE_GPU, 1, &device, nullptr) != CL_SUCCESS) continue;
      platform = one;
      break;
    }
    if (platform == nullptr) {
      std::fprintf(stderr, "no GPU\n");
      std::exit(1);
    }
    cl_int status = CL_SUCCESS;
    context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
    MUST(status);
    queue = make_queue();
    load(host_alloc, "clHostMemAllocINTEL");
    load(device_alloc, "clDeviceMemAllocINTEL");
    load(shared_alloc, "clSharedMemAllocINTEL");
    load(free, "clMemFreeINTEL");
    load(blocking_free, "clMemBlockingFreeINTEL");
    load(info, "clGetMemAllocInfoINTEL");
    load(set_pointer, "clSetKernelArgMemPointerINTEL");
    load(set, "clEnqueueMemsetINTEL");
    load(fill, "clEnqueueMemFillINTEL");
    load(copy, "clEnqueueMemcpyINTEL");
    load(migrate, "clEnqueueMigrateMemINTEL");
    load(advise, "clEnqueueMemAdviseINTEL");
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
  }

  cl_command_queue make_queue() const {
    cl_int status = CL_SUCCESS;
    const cl_command_queue made =
        clCreateCommandQueueWithProperties(context, device, nullptr, &status);
    MUST(status);
    return made;
  }

  cl_kernel kernel(const char* source, const char* name) const {
    cl_int status = CL_SUCCESS;
    const cl_program program = clCreateProgramWithSource(context, 1, &source, nullptr, &status);
    MUST(status);
    if (clBuildProgram(program, 1, &device, "-cl-kernel-arg-info", nullptr, nullptr) !=
        CL_SUCCESS) {
      char log[8192] = {};
      clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof(log) - 1, log, nullptr);
      std::fprintf(stderr, "%s\n", log);
      std::exit(1);
    }
    const cl_kernel made = clCreateKernel(program, name, &status);
    MUST(status);
    MUST(clReleaseProgram(program));
    return made;
  }

  template <typename T>
  T* shared(std::size_t count) const {
    cl_int status = CL_SUCCESS;
    void* const pointer = shared_alloc(context, device, nullptr, count * sizeof(T), 0, &status);
    MUST(status);
    return static_cast<T*>(pointer);
  }

  void run(cl_kernel kernel, std::size_t items, cl_command_queue on = nullptr,
           cl_event* event = nullptr) const {
    MUST(clEnqueueNDRangeKernel(on == nullptr ? queue : on, kernel, 1, nullptr, &items, nullptr, 0,
                                nullptr, event));
  }

  // Whether host and device may use a shared allocation at the same time: then only the program
  // keeps them apart.
  bool shares_at_once() const {
    cl_device_unified_shared_memory_capabilities_intel can = 0;
    MUST(clGetDeviceInfo(device, CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL, sizeof(can),
                         &can, nullptr));
    return (can & CL_UNIFIED_SHARED_MEMORY_CONCURRENT_ACCESS_INTEL) != 0;
  }

  // Whether kernels may follow pointers that they find in memory.
  void allow_indirect(cl_kernel kernel) const {
    const cl_bool yes = CL_TRUE;
    MUST(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL, sizeof(yes),
                             &yes));
  }

 protected:
  template <typename Function>
  void load(Function& function, const char* name) {
    function = reinterpret_cast<Function>(clGetExtensionFunctionAddressForPlatform(platform, name));
    if (function != nullptr) return;
    std::fprintf(stderr, "no %s\n", name);
    std::exit(1);
  }
};

}  // namespace usm
