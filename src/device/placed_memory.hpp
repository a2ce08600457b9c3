// PlacedMemory: device memory whose place follows from the managed address that it is for.
#pragma once

#include <cstddef>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/commands.hpp"

namespace sluice::device {

// Thread-safe, as all of Device.
class PlacedMemory {
 public:
  // The allocation behind [at, at + size), given back by Device::release(). A device that has this
  // has no other allocations: its Device::allocate() answers unsupported.
  [[nodiscard]] virtual Result<Allocation> allocate_at(Address at, std::size_t size) = 0;

 protected:
  ~PlacedMemory() = default;
};

}  // namespace sluice::device
