// The behaviour of a device's driver with SVM, tried once, because its reported features do not
// tell.
#pragma once

#include <cstdint>

#include "device/opencl/driver.hpp"

namespace sluice::opencl {

struct SvmTrial {
  // True if kernels and the host use the same bytes, with no map between them.
  enum class SharedBytes : std::uint8_t { unknown, apart, same } sharing = SharedBytes::unknown;
  // The driver's own use of the host's side of an allocation.
  enum class HostSide : std::uint8_t {
    left_alone,
    sent_once,  // until the device was given all of it, by a fill
    used        // whenever it likes
  } host_side = HostSide::left_alone;
  // A buffer over SVM (CL_MEM_USE_HOST_PTR) has the device's bytes, and leaves the host's side
  // alone.
  bool buffers_work = false;
};

// Thread-safe; builds and runs a kernel the first time.
[[nodiscard]] SvmTrial try_svm(cl_device_id device);

}  // namespace sluice::opencl
