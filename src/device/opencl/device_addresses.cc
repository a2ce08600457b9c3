// The calls of cl_ext_buffer_device_address.
//
// Before version 1.0.2 the setter took a pointer to the address in the text and the address in
// drivers, so older versions count as none. Versions are read from
// CL_DEVICE_EXTENSIONS_WITH_VERSION, which OpenCL 3.0 has, as it has buffers with properties. What
// it does not do: use the addresses of a buffer on more than one device.
#include "device/opencl/device_addresses.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace sluice::device::opencl {
namespace {

constexpr std::string_view extension = "cl_ext_buffer_device_address";
constexpr cl_version first_version = CL_MAKE_VERSION(1, 0, 2);
constexpr cl_mem_properties private_address = 0x5000;  // CL_MEM_DEVICE_PRIVATE_ADDRESS_EXT
constexpr cl_mem_info address_info = 0x5001;           // CL_MEM_DEVICE_ADDRESS_EXT

bool has_extension(const cl_icd_dispatch& calls, cl_device_id device) {
  size_t size = 0;
  if (calls.clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS_WITH_VERSION, 0, nullptr, &size) !=
      CL_SUCCESS)
    return false;
  std::vector<cl_name_version> all(size / sizeof(cl_name_version));
  if (all.empty() || calls.clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS_WITH_VERSION, size,
                                           all.data(), nullptr) != CL_SUCCESS)
    return false;
  return std::any_of(all.begin(), all.end(), [](const cl_name_version& one) {
    return one.name == extension && one.version >= first_version;
  });
}

}  // namespace

SetDevicePointer device_pointer_setter(const cl_icd_dispatch& calls, cl_device_id device) {
  if (calls.clCreateBufferWithProperties == nullptr || !has_extension(calls, device))
    return nullptr;
  cl_platform_id platform = nullptr;
  calls.clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof(platform), &platform, nullptr);
  return reinterpret_cast<SetDevicePointer>(
      calls.clGetExtensionFunctionAddressForPlatform(platform, "clSetKernelArgDevicePointerEXT"));
}

cl_mem create_addressed_buffer(const Driver& driver, std::size_t size, cl_int& status) noexcept {
  const cl_mem_properties properties[] = {private_address, CL_TRUE, 0};
  return driver.calls->clCreateBufferWithProperties(driver.context, properties, CL_MEM_READ_WRITE,
                                                    size, nullptr, &status);
}

Address device_address(const Driver& driver, cl_mem buffer) noexcept {
  cl_ulong address = 0;
  const cl_int status =
      driver.calls->clGetMemObjectInfo(buffer, address_info, sizeof(address), &address, nullptr);
  return {status == CL_SUCCESS ? address : 0};
}

}  // namespace sluice::device::opencl
