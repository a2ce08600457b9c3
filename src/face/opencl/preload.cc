// The layer preloaded (LD_PRELOAD), for loaders of OpenCL that do not support layers: it then comes
// before libOpenCL.so.1.
//
// A program that is linked to OpenCL finds the functions that the layer has here first. All others
// are the loader's, and so are the calls that the layer itself makes. Nothing is done before the
// first of them is called; it costs a call through a pointer more than a layer does. What it does
// not do: reach programs that ask dlopen() and dlsym() for OpenCL's functions.
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS  // clGetExtensionFunctionAddress
#include <dlfcn.h>

#include <tuple>

#include "layer.hpp"
#include "os/environment.hpp"
#include "os/report.hpp"
#include "os/uncancelled.hpp"
#include "sluice/export.hpp"

namespace sluice::opencl {
namespace {

// The functions that the layer only calls, and those that it replaces, which are all that get an
// Entry.
// clang-format off
#define SLUICE_CALLS_BELOW(X)                                                         \
  X(clBuildProgram) X(clCompileProgram) X(clCreateProgramWithSource)                  \
  X(clCreateUserEvent)                                                                \
  X(clEnqueueMarkerWithWaitList) X(clFlush) X(clGetContextInfo) X(clGetKernelArgInfo) \
  X(clGetKernelInfo) X(clGetProgramBuildInfo)                                         \
  X(clSetEventCallback) X(clSetUserEventStatus) X(clWaitForEvents)
// With the number of parameters.
#define SLUICE_CALLS_IN_FRONT(X)                                                            \
  X(2, clCloneKernel) X(5, clCreateBuffer) X(6, clCreateBufferWithProperties)               \
  X(4, clCreateCommandQueue) X(4, clCreateCommandQueueWithProperties) X(6, clCreateContext) \
  X(5, clCreateContextFromType) X(6, clCreateImage) X(7, clCreateImageWithProperties)       \
  X(3, clCreateKernel) X(4, clCreateKernelsInProgram) X(7, clCreateProgramWithBinary)       \
  X(4, clCreateProgramWithIL)                                                               \
  X(5, clCreateSubBuffer) X(9, clEnqueueCopyBuffer) X(13, clEnqueueCopyBufferRect)          \
  X(9, clEnqueueCopyBufferToImage) X(9, clEnqueueCopyImageToBuffer)                         \
  X(9, clEnqueueFillBuffer) X(10, clEnqueueMapBuffer) X(7, clEnqueueMigrateMemObjects)      \
  X(9, clEnqueueNDRangeKernel) X(9, clEnqueueReadBuffer) X(14, clEnqueueReadBufferRect)     \
  X(11, clEnqueueReadImage) X(8, clEnqueueSVMFree) X(8, clEnqueueSVMMap)                    \
  X(8, clEnqueueSVMMemFill) X(8, clEnqueueSVMMemcpy) X(8, clEnqueueSVMMigrateMem)           \
  X(5, clEnqueueSVMUnmap) X(5, clEnqueueTask) X(6, clEnqueueUnmapMemObject)                 \
  X(9, clEnqueueWriteBuffer)                                                                \
  X(14, clEnqueueWriteBufferRect) X(11, clEnqueueWriteImage) X(1, clFinish)                 \
  X(5, clGetDeviceIDs) X(5, clGetDeviceInfo) X(5, clGetEventInfo)                           \
  X(1, clGetExtensionFunctionAddress) X(2, clGetExtensionFunctionAddressForPlatform)        \
  X(5, clGetMemObjectInfo) X(5, clGetPlatformInfo) X(5, clGetProgramInfo)                   \
  X(9, clLinkProgram)                                                                       \
  X(1, clReleaseCommandQueue) X(1, clReleaseContext) X(1, clReleaseEvent)                   \
  X(1, clReleaseKernel) X(1, clReleaseMemObject) X(1, clReleaseProgram)                     \
  X(1, clRetainCommandQueue) X(1, clRetainContext) X(1, clRetainEvent) X(1, clRetainKernel) \
  X(1, clRetainMemObject) X(1, clRetainProgram) X(4, clSVMAlloc)                            \
  X(2, clSVMFree) X(4, clSetKernelArg) X(3, clSetKernelArgSVMPointer)                       \
  X(4, clSetKernelExecInfo)
// clang-format on

// Functions that an older loader lacks stay null.
cl_icd_dispatch calls_of_loader() {
  cl_icd_dispatch calls{};
  const os::Uncancelled whole_call;
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
#define SLUICE_FIND_IN_FRONT(count, name) SLUICE_FIND(name)
  SLUICE_CALLS_IN_FRONT(SLUICE_FIND_IN_FRONT)
#undef SLUICE_FIND_IN_FRONT
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

// The parameters and the result of a function of OpenCL.
template <typename Function>
struct Signature;
template <typename Answer, typename... Parameters>
struct Signature<Answer(Parameters...)> {
  using Given = Answer;
  template <std::size_t Index>
  using Taken = std::tuple_element_t<Index, std::tuple<Parameters...>>;
};

}  // namespace
}  // namespace sluice::opencl

// Plain functions of these names. As indirect functions (ifunc) they would need no parameters here,
// but the dynamic linker warns about each if a library takes its address.
// NOLINTBEGIN(bugprone-macro-parentheses): names and types take none
#define SLUICE_T(name, index) sluice::opencl::Signature<decltype(::name)>::Taken<index> p##index
#define SLUICE_PARAMETERS_1(name) SLUICE_T(name, 0)
#define SLUICE_ARGUMENTS_1 p0
#define SLUICE_PARAMETERS_2(name) SLUICE_PARAMETERS_1(name), SLUICE_T(name, 1)
#define SLUICE_ARGUMENTS_2 SLUICE_ARGUMENTS_1, p1
#define SLUICE_PARAMETERS_3(name) SLUICE_PARAMETERS_2(name), SLUICE_T(name, 2)
#define SLUICE_ARGUMENTS_3 SLUICE_ARGUMENTS_2, p2
#define SLUICE_PARAMETERS_4(name) SLUICE_PARAMETERS_3(name), SLUICE_T(name, 3)
#define SLUICE_ARGUMENTS_4 SLUICE_ARGUMENTS_3, p3
#define SLUICE_PARAMETERS_5(name) SLUICE_PARAMETERS_4(name), SLUICE_T(name, 4)
#define SLUICE_ARGUMENTS_5 SLUICE_ARGUMENTS_4, p4
#define SLUICE_PARAMETERS_6(name) SLUICE_PARAMETERS_5(name), SLUICE_T(name, 5)
#define SLUICE_ARGUMENTS_6 SLUICE_ARGUMENTS_5, p5
#define SLUICE_PARAMETERS_7(name) SLUICE_PARAMETERS_6(name), SLUICE_T(name, 6)
#define SLUICE_ARGUMENTS_7 SLUICE_ARGUMENTS_6, p6
#define SLUICE_PARAMETERS_8(name) SLUICE_PARAMETERS_7(name), SLUICE_T(name, 7)
#define SLUICE_ARGUMENTS_8 SLUICE_ARGUMENTS_7, p7
#define SLUICE_PARAMETERS_9(name) SLUICE_PARAMETERS_8(name), SLUICE_T(name, 8)
#define SLUICE_ARGUMENTS_9 SLUICE_ARGUMENTS_8, p8
#define SLUICE_PARAMETERS_10(name) SLUICE_PARAMETERS_9(name), SLUICE_T(name, 9)
#define SLUICE_ARGUMENTS_10 SLUICE_ARGUMENTS_9, p9
#define SLUICE_PARAMETERS_11(name) SLUICE_PARAMETERS_10(name), SLUICE_T(name, 10)
#define SLUICE_ARGUMENTS_11 SLUICE_ARGUMENTS_10, p10
#define SLUICE_PARAMETERS_12(name) SLUICE_PARAMETERS_11(name), SLUICE_T(name, 11)
#define SLUICE_ARGUMENTS_12 SLUICE_ARGUMENTS_11, p11
#define SLUICE_PARAMETERS_13(name) SLUICE_PARAMETERS_12(name), SLUICE_T(name, 12)
#define SLUICE_ARGUMENTS_13 SLUICE_ARGUMENTS_12, p12
#define SLUICE_PARAMETERS_14(name) SLUICE_PARAMETERS_13(name), SLUICE_T(name, 13)
#define SLUICE_ARGUMENTS_14 SLUICE_ARGUMENTS_13, p13
#define SLUICE_NAME(count, name)                                                                \
  extern "C" SLUICE_EXPORT sluice::opencl::Signature<decltype(::name)>::Given CL_API_CALL name( \
      SLUICE_PARAMETERS_##count(name)) {                                                        \
    return sluice::opencl::table().name(SLUICE_ARGUMENTS_##count);                              \
  }
// NOLINTEND(bugprone-macro-parentheses)
SLUICE_CALLS_IN_FRONT(SLUICE_NAME)
