// Buffers over the alias view, made only to pin it.
#include "device/opencl/pinned_alias.hpp"

#include <bit>

namespace sluice::device::opencl {

Result<PinnedBlocks::Registration> PinnedAlias::register_memory(std::byte* alias,
                                                                std::size_t size) {
  cl_int status = CL_SUCCESS;
  const cl_mem buffer = driver_.calls->clCreateBuffer(
      driver_.context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, size, alias, &status);
  if (buffer == nullptr) return driver_failed(status, "clCreateBuffer over host memory");
  return std::bit_cast<Registration>(buffer);
}

void PinnedAlias::unregister_memory(Registration registration) noexcept {
  driver_.calls->clReleaseMemObject(std::bit_cast<cl_mem>(registration));
}

}  // namespace sluice::device::opencl
