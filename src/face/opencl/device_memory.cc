// Device allocations as pieces of buffers with device addresses.
//
// Nothing here moves and the engine knows nothing of it: the program's own queues order the uses of
// such bytes by kernels and copies, and the host cannot reach them, as the extension allows.
// The trial makes a context and one small buffer, since a driver may name the extension and still
// choose addresses at which the program has something (a CPU's always are). What it does not do:
// serve contexts of several devices, where a buffer has an address for each.
#include "device_memory.hpp"

#include "device_trials.hpp"
#include "layer.hpp"

namespace sluice::opencl {

using device::opencl::BufferBytes;
using device::opencl::device_pointer_setter;
using device::opencl::Driver;
using device::opencl::SetDevicePointer;

class DeviceMemory::Source final : public RangeSource {
 public:
  explicit Source(BufferBytes& buffers) noexcept : buffers_(buffers) {}
  Result<std::byte*> take(std::size_t size) override {
    SLUICE_ASSIGN(begin, buffers_.add_at_device_address(size, alignment_of(size)));
    return reinterpret_cast<std::byte*>(begin.value);  // NOLINT(performance-no-int-to-ptr)
  }
  void give_back(std::byte* base) noexcept override {
    buffers_.remove(Address::of(base), buffers_.find(Address::of(base)).buffer);
  }
  std::size_t alignment_of(std::size_t /*size*/) const noexcept override {
    return PiecePool::slab_size;
  }

 private:
  BufferBytes& buffers_;
};

DeviceMemory::DeviceMemory(const Driver& driver, SetDevicePointer set)
    : driver_(driver), set_(set), buffers_(driver), pool_(std::make_unique<Source>(buffers_)) {}

std::unique_ptr<DeviceMemory> DeviceMemory::open(const Driver& driver) {
  const SetDevicePointer set = device_pointer_setter(*driver.calls, driver.device);
  if (set == nullptr) return nullptr;
  return std::unique_ptr<DeviceMemory>(new DeviceMemory(driver, set));
}

cl_int DeviceMemory::set_argument(cl_kernel kernel, cl_uint index, const void* pointer) const {
  return set_(kernel, index, Address::of(pointer).value);
}

cl_int DeviceMemory::allow(cl_kernel kernel) const {
  const std::vector<Address> all = buffers_.begins();
  if (all.empty()) return CL_SUCCESS;
  static_assert(sizeof(Address) == sizeof(cl_ulong));
  return driver_.calls->clSetKernelExecInfo(kernel, device::opencl::device_pointers_info,
                                            all.size() * sizeof(Address), all.data());
}

namespace {

bool try_device_memory(cl_device_id device) {
  if (device_pointer_setter(driver(), device) == nullptr) return false;
  cl_int status = CL_SUCCESS;
  const cl_context context =
      driver().clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
  if (context == nullptr) return false;
  const bool works =
      BufferBytes({&driver(), context, device}).add_at_device_address(1, page_size).has_value();
  driver().clReleaseContext(context);
  return works;
}

}  // namespace

bool has_device_memory(cl_device_id device) {
  static auto& trials = *new DeviceTrials<bool>;  // never destroyed: threads may outlive main()
  return trials.ask(device, try_device_memory);
}

}  // namespace sluice::opencl
