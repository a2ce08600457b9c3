// Answers of the many clGet*Info calls: a value into a caller's buffer, with OpenCL's rules about
// its size.
#pragma once

#include <cstring>
#include <string>

#include "device/opencl/driver.hpp"

namespace sluice::opencl {

[[nodiscard]] inline cl_int give_bytes(const void* from, size_t needed, size_t size, void* value,
                                       size_t* size_ret) {
  if (value != nullptr && size < needed) return CL_INVALID_VALUE;
  if (value != nullptr && needed != 0) std::memcpy(value, from, needed);
  if (size_ret != nullptr) *size_ret = needed;
  return CL_SUCCESS;
}

template <typename T>
[[nodiscard]] cl_int give(const T& from, size_t size, void* value, size_t* size_ret) {
  return give_bytes(&from, sizeof(T), size, value, size_ret);
}

[[nodiscard]] inline cl_int give(const std::string& from, size_t size, void* value,
                                 size_t* size_ret) {
  return give_bytes(from.c_str(), from.size() + 1, size, value, size_ret);
}

}  // namespace sluice::opencl
