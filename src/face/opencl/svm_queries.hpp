// The types of SVM of the platforms and devices that are here (svm_types.hpp).
#pragma once

#include <memory>

#include "svm_types.hpp"

namespace sluice::opencl {

// All devices of a platform. The driver's status; none is no error.
[[nodiscard]] cl_int find_devices(cl_platform_id platform, std::vector<cl_device_id>& devices);
[[nodiscard]] SvmFeatures features_of(cl_device_id device);
// Of the device's platform; found out once for each device. Thread-safe.
[[nodiscard]] std::shared_ptr<const SvmTypes> svm_types_of(cl_device_id device);

// Answers to clGetPlatformInfo and clGetDeviceInfo.
[[nodiscard]] cl_int give_svm_types(cl_platform_id platform, size_t size, void* value,
                                    size_t* size_ret);
[[nodiscard]] cl_int give_svm_types(cl_device_id device, size_t size, void* value,
                                    size_t* size_ret);

}  // namespace sluice::opencl
