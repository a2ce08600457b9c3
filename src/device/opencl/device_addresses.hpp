// Buffers with device addresses: cl_ext_buffer_device_address, version 1.0.2.
//
// Such a buffer has one address on the device for its whole life, which kernels may get by value,
// find in memory and follow. The driver chooses it, and the host has nothing there. Our headers are
// older than the extension, so its values are defined here.
#pragma once

#include "base/types.hpp"
#include "device/opencl/driver.hpp"

namespace sluice::device::opencl {

// clSetKernelArgDevicePointerEXT.
using SetDevicePointer = cl_int(CL_API_CALL*)(cl_kernel kernel, cl_uint index, cl_ulong address);

// CL_KERNEL_EXEC_INFO_DEVICE_PTRS_EXT: the device addresses that a kernel may follow besides its
// arguments.
constexpr cl_kernel_exec_info device_pointers_info = 0x5002;

// The function where a device has the extension, as this version; null where it has not.
// Thread-safe; asks the driver.
[[nodiscard]] SetDevicePointer device_pointer_setter(const cl_icd_dispatch& calls,
                                                     cl_device_id device);

// Null, and the driver's status. For contexts of one device: others have an address for each.
[[nodiscard]] cl_mem create_addressed_buffer(const Driver& driver, std::size_t size,
                                             cl_int& status) noexcept;
// 0 if the driver does not tell.
[[nodiscard]] Address device_address(const Driver& driver, cl_mem buffer) noexcept;

}  // namespace sluice::device::opencl
