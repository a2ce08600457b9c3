// PinnedAlias: host bytes that an OpenCL driver keeps in place, because a buffer stands for them.
//
// OpenCL has no call that pins memory where it is. But a buffer made over host memory
// (CL_MEM_USE_HOST_PTR) makes drivers of GPUs pin it, and NVIDIA's copies from and to those bytes
// at the link's speed then, whichever call names them. Nothing is ever done with the buffer itself,
// so it has no memory on the device and no bytes that could be written back.
#pragma once

#include "device/opencl/driver.hpp"
#include "device/pinned_blocks.hpp"

namespace sluice::device::opencl {

class PinnedAlias final : public PinnedBlocks {
 public:
  PinnedAlias(const Driver& driver, const HostMemory& host) noexcept
      : PinnedBlocks(host), driver_(driver) {}

 private:
  // A registration is the buffer.
  [[nodiscard]] Result<Registration> register_memory(std::byte* alias, std::size_t size) override;
  void unregister_memory(Registration registration) noexcept override;

  const Driver driver_;
};

}  // namespace sluice::device::opencl
