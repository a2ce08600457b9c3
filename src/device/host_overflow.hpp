// HostOverflow: host memory that a device uses like its own, over its link, for bytes that its own
// memory cannot hold.
#pragma once

#include <cstddef>

#include "base/result.hpp"
#include "device/commands.hpp"

namespace sluice::device {

// Thread-safe, as all of Device.
class HostOverflow {
 public:
  // An allocation for copies, fills and mappings, of the sizes that Device::allocate() takes, given
  // back by Device::release(). It does not count in Device::memory_in_use(). Errors: as allocate();
  // out_of_device_memory means that the host has none left for this.
  [[nodiscard]] virtual Result<Allocation> allocate_in_host(std::size_t size) = 0;

 protected:
  ~HostOverflow() = default;
};

}  // namespace sluice::device
