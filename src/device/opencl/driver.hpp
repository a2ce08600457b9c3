// Driver: the calls of one OpenCL driver, below whatever layer is loaded, and the context they are
// made in.
#pragma once

// All calls of OpenCL 3.0, and those that older drivers need instead.
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#ifndef CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#endif
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_icd.h>

#include "base/result.hpp"

namespace sluice::device::opencl {

struct Driver {
  const cl_icd_dispatch* calls = nullptr;
  cl_context context = nullptr;
  cl_device_id device = nullptr;  // of the context: where copies are made
};

// `status` of a driver's call as an error. `what` names the call.
[[nodiscard]] tl::unexpected<Error> driver_failed(cl_int status, const char* what) noexcept;

}  // namespace sluice::device::opencl
