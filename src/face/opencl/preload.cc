// The layer preloaded (LD_PRELOAD), for loaders of OpenCL that know no layers: it stands in front of libOpenCL.so.1 then.
//
// A program that is linked to OpenCL finds the functions that the layer has here first. All others are the loader's, and so are the
// calls that the layer itself makes. Nothing is done before the first of them is called; it costs a call through a pointer more
// than a layer does. What it does not do: reach programs that ask dlopen() and dlsym() for OpenCL's functions.
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS  // clGetExtensionFunctionAddress
#include <dlfcn.h>

#include "layer.hpp"
#include "os/environment.hpp"
#include "os/report.hpp"
#include "sluice/export.hpp"

namespace sluice::opencl {
namespace {

// What the layer calls and has nothing in front of, and what it has.
// clang-format off
#define SLUICE_CALLS_BELOW(X)                                                         \
  X(clBuildProgram) X(clCreateProgramWithSource) X(clReleaseProgram) X(clCreateSubBuffer) X(clCreateUserEvent) X(clEnqueueCopyBuffer)                    \
  X(clEnqueueMarkerWithWaitList) X(clFlush) X(clGetContextInfo) X(clGetKernelArgInfo) \
  X(clGetKernelInfo) X(clGetMemObjectInfo) X(clGetProgramBuildInfo) X(clGetProgramInfo) X(clReleaseMemObject)  \
  X(clRetainMemObject) X(clSetEventCallback) X(clSetUserEventStatus) X(clWaitForEvents)
#define SLUICE_CALLS_IN_FRONT(X)                                                                \
  X(clCloneKernel) X(clCreateBuffer) X(clCreateBufferWithProperties) X(clCreateCommandQueue)    \
  X(clCreateCommandQueueWithProperties) X(clCreateContext) X(clCreateContextFromType)           \
  X(clCreateImage) X(clCreateImageWithProperties) X(clCreateKernel) X(clCreateKernelsInProgram) \
  X(clEnqueueFillBuffer) X(clEnqueueNDRangeKernel) X(clEnqueueReadBuffer)                       \
  X(clEnqueueReadBufferRect) X(clEnqueueReadImage) X(clEnqueueSVMFree) X(clEnqueueSVMMap)       \
  X(clEnqueueSVMMemFill) X(clEnqueueSVMMemcpy) X(clEnqueueSVMMigrateMem) X(clEnqueueSVMUnmap)   \
  X(clEnqueueTask) X(clEnqueueWriteBuffer) X(clEnqueueWriteBufferRect) X(clEnqueueWriteImage)   \
  X(clFinish) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clGetEventInfo)                            \
  X(clGetExtensionFunctionAddress) X(clGetExtensionFunctionAddressForPlatform)                  \
  X(clGetPlatformInfo) X(clReleaseCommandQueue) X(clReleaseContext) X(clReleaseEvent)           \
  X(clReleaseKernel) X(clRetainCommandQueue) X(clRetainContext) X(clRetainEvent)                \
  X(clRetainKernel) X(clSVMAlloc) X(clSVMFree) X(clSetKernelArg) X(clSetKernelArgSVMPointer)    \
  X(clSetKernelExecInfo)
// clang-format on

// Those that an older loader lacks stay null.
cl_icd_dispatch calls_of_loader() {
  cl_icd_dispatch calls{};
  void* const loader = ::dlopen("libOpenCL.so.1", RTLD_NOW);
  if (loader == nullptr) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of this thread, in glibc
    os::report("the OpenCL layer is preloaded, and the loader is missing: %s", ::dlerror());
    return calls;
  }
// NOLINTBEGIN(bugprone-macro-parentheses): names take none
#define SLUICE_FIND(name) \
  calls.name = reinterpret_cast<decltype(calls.name)>(::dlsym(loader, #name));
  SLUICE_CALLS_BELOW(SLUICE_FIND)
  SLUICE_CALLS_IN_FRONT(SLUICE_FIND)
#undef SLUICE_FIND
  // NOLINTEND(bugprone-macro-parentheses)
  return calls;
}

// With the layer in it, unless the loader has it already.
const cl_icd_dispatch& table() {
  static const cl_icd_dispatch below = calls_of_loader();
  static const cl_icd_dispatch& used =
      is_in_front() || os::has_raised_rights() ? below : stand_in_front_of(below);
  return used;
}

// The function that a program calls.
template <auto Member>
struct Entry;
template <typename Answer, typename... Parameters,
          Answer (CL_API_CALL* cl_icd_dispatch::*Member)(Parameters...)>
struct Entry<Member> {
  static Answer CL_API_CALL call(Parameters... parameters) {
    // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): a loader without it has nobody who calls it
    return (table().*Member)(parameters...);
  }
};

}  // namespace
}  // namespace sluice::opencl

// Its name. The dynamic linker asks for the address; nothing may be called there.
// NOLINTBEGIN(bugprone-macro-parentheses): names take none
#define SLUICE_NAME(name)                                       \
  extern "C" decltype(&::name) sluice_address_of_##name() {     \
    return sluice::opencl::Entry<&cl_icd_dispatch::name>::call; \
  }                                                             \
  extern "C" SLUICE_EXPORT decltype(::name) name                \
      __attribute__((ifunc("sluice_address_"                    \
                           "of_" #name)));
// NOLINTEND(bugprone-macro-parentheses)
SLUICE_CALLS_IN_FRONT(SLUICE_NAME)
