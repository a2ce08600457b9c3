// DeviceMemory: device allocations of a context with a driver that reports device addresses (the
// back end `addresses`).
//
// A pointer to one is the device's own address, so kernels get it as it is, also inside structures
// and in memory.
#pragma once

#include <memory>

#include "device/opencl/device_addresses.hpp"
#include "device/opencl/device_bytes.hpp"
#include "pool/piece_pool.hpp"

namespace sluice::opencl {

class DeviceMemory {
 public:
  // `driver`: the context's one device. Null where the driver has no such addresses.
  [[nodiscard]] static std::unique_ptr<DeviceMemory> open(const device::opencl::Driver& driver);
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() = default;

  // `alignment`: a power of two. Errors: the driver's; busy: the program has something at the
  // address that the driver chose.
  [[nodiscard]] Result<void*> allocate(std::size_t size, std::size_t alignment) {
    return pool_.allocate(size, alignment);
  }
  void free(void* piece, std::size_t size, std::size_t alignment) noexcept {
    pool_.free(piece, size, alignment);
  }
  [[nodiscard]] device::opencl::BufferBytes& buffers() noexcept { return buffers_; }

  // Any pointer, as it is. The driver's status.
  [[nodiscard]] cl_int set_argument(cl_kernel kernel, cl_uint index, const void* pointer) const;
  // Tells the driver that the kernel may follow pointers to all of it. The driver's status.
  [[nodiscard]] cl_int allow(cl_kernel kernel) const;

 private:
  class Source;

  DeviceMemory(const device::opencl::Driver& driver, device::opencl::SetDevicePointer set);

  const device::opencl::Driver driver_;
  const device::opencl::SetDevicePointer set_;
  device::opencl::BufferBytes buffers_;
  PiecePool pool_;  // after the member that its ranges are returned to
};

// True if device allocations on this device can be device addresses; tried once.
// Thread-safe.
[[nodiscard]] bool has_device_memory(cl_device_id device);

}  // namespace sluice::opencl
