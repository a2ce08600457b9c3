// Choice: the way that USM is provided on a device, from the features of its driver.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "device/opencl/driver.hpp"

namespace sluice::opencl {

// Best first.
enum class Backend : std::uint8_t {
  pass,  // host and device share memory: allocations are the driver's own, and nothing moves
  // coarse-grain SVM: managed memory over the driver's allocation; pages move; pointers in memory
  // work
  svm,
  // as buffers, and device allocations are device addresses: pointers to them work in memory
  addresses,
  // buffers only: managed memory beside buffers; pages move; pointers work as kernel arguments only
  buffers,
};
[[nodiscard]] std::string_view to_string(Backend backend) noexcept;

struct Choice {
  Backend backend = Backend::buffers;
  // Where pages move: the driver is told to keep the host's side in place, so that it copies at the
  // link's speed.
  bool pins = false;
  std::string reason;
};

// Thread-safe; asks the driver.
[[nodiscard]] Choice choose(cl_device_id device);
// For a context of these devices, which share its allocations: the best that each of them can do.
[[nodiscard]] Backend choose_for_all(const std::vector<cl_device_id>& devices);

// CL_DEVICE_TYPE and CL_DEVICE_SVM_CAPABILITIES as the driver reports them; 0 for the latter if it
// has no such query.
[[nodiscard]] cl_device_type type_of(cl_device_id device) noexcept;
[[nodiscard]] cl_device_svm_capabilities svm_of(cl_device_id device) noexcept;

// True if this build reads SPIR-V and the device's driver takes it.
[[nodiscard]] bool takes_il(cl_device_id device);

}  // namespace sluice::opencl
