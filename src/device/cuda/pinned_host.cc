// Registers host memory with the driver: the alias view for copies, the application view of host
// ranges for kernels.
#include "device/cuda/pinned_host.hpp"

#include "os/address_window.hpp"

namespace sluice::device::cuda {

Result<PinnedBlocks::Registration> PinnedHost::register_memory(std::byte* alias, std::size_t size) {
  if (const CUresult error = driver_.host_register(alias, size, register_portable);
      error != success)
    return driver_.failed(error, "cuMemHostRegister");
  return Address::of(alias).value;
}

void PinnedHost::unregister_memory(Registration registration) noexcept {
  (void)driver_.host_unregister(os::pointer_for_call(Address{registration}));
}

void PinnedHost::forget(AddressSpan span) noexcept {
  unpin(span);
  const MutexLock lock(mutex_);
  for (auto found = mapped_.lower_bound(span.begin);
       found != mapped_.end() && found->first < span.end(); found = mapped_.erase(found))
    (void)driver_.host_unregister(os::pointer_for_call(found->first));
}

Result<void> PinnedHost::map(AddressSpan span, int device) {
  const MutexLock lock(mutex_);
  MappedMemory& mapped = mapped_[span.begin];
  if (mapped.devices == 0) {
    mapped.size = span.size;
    const CUresult error = driver_.host_register(os::pointer_for_call(span.begin), span.size,
                                                 register_portable | register_device_map);
    if (error != success) {
      mapped_.erase(span.begin);
      return driver_.failed(error, "cuMemHostRegister of a host range");
    }
  }
  mapped.devices |= std::uint64_t{1} << device;
  return {};
}

void PinnedHost::leave(AddressSpan span, int device) noexcept {
  const MutexLock lock(mutex_);
  for (auto found = mapped_.lower_bound(span.begin);
       found != mapped_.end() && found->first < span.end();) {
    found->second.devices &= ~(std::uint64_t{1} << device);
    if (found->second.devices != 0) {
      ++found;
      continue;
    }
    (void)driver_.host_unregister(os::pointer_for_call(found->first));
    found = mapped_.erase(found);
  }
}

}  // namespace sluice::device::cuda
