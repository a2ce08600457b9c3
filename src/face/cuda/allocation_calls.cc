// Making and freeing managed memory.
//
// What it does not do: `__managed__` variables, managed pools and managed nodes of graphs, which
// stay with the driver.
#include "face/cuda/managed.hpp"
#include "face/cuda/wrapper.hpp"
#include "os/uncancelled.hpp"

namespace sluice::cuda {
namespace {

// A context is needed, as the driver needs one.
bool has_context() noexcept {
  static auto* const ask = reinterpret_cast<CUresult (*)(CUdevice*)>(find_real("cuCtxGetDevice"));
  CUdevice gpu = -1;
  return ask != nullptr && ask(&gpu) == success;
}

CUresult free_range(CUdeviceptr address) {
  const os::Uncancelled whole_call;
  const auto range = ManagedSpace::get().range_of(address);
  if (!range || reinterpret_cast<CUdeviceptr>(range->base) != address) return invalid_value;
  const auto freed = ManagedSpace::get().engine().free(Address{address}, engine::FreeMode::wait);
  return freed ? success : code_of(freed.error());
}

}  // namespace

SLUICE_WRAP(cuMemAllocManaged, (CUdeviceptr * address, std::size_t size, unsigned flags)) {
  if (!is_on() || !has_context()) return SLUICE_REAL(cuMemAllocManaged)(address, size, flags);
  if (address == nullptr || size == 0 || (flags != attach_global && flags != attach_host))
    return invalid_value;
  const os::Uncancelled whole_call;
  ManagedSpace& managed = ManagedSpace::get();
  if (const auto opened = managed.open(); !opened) return code_of(opened.error());
  const auto base = managed.engine().allocate(size, Kind::shared, -1, HostPages::automatic);
  if (!base) return out_of_memory;
  managed.change();
  *address = base->value;
  return success;
}

SLUICE_WRAP(cuMemFree_v2, (CUdeviceptr address)) {
  return ManagedSpace::get().owns(address) ? free_range(address)
                                           : SLUICE_REAL(cuMemFree_v2)(address);
}

SLUICE_WRAP(cuMemFreeAsync, (CUdeviceptr address, CUstream stream)) {
  return ManagedSpace::get().owns(address) ? not_supported
                                           : SLUICE_REAL(cuMemFreeAsync)(address, stream);
}

SLUICE_WRAP(cuMemFreeAsync_ptsz, (CUdeviceptr address, CUstream stream)) {
  return ManagedSpace::get().owns(address) ? not_supported
                                           : SLUICE_REAL(cuMemFreeAsync_ptsz)(address, stream);
}

SLUICE_WRAP(cuMemFreeHost, (void* address)) {
  return ManagedSpace::get().owns(address) ? invalid_value : SLUICE_REAL(cuMemFreeHost)(address);
}

// --- what managed memory does not do -------------------------------------------------------------

SLUICE_WRAP(cuMemHostRegister_v2, (void* address, std::size_t size, unsigned flags)) {
  return ManagedSpace::get().owns(address)
             ? invalid_value
             : SLUICE_REAL(cuMemHostRegister_v2)(address, size, flags);
}

SLUICE_WRAP(cuMemHostGetDevicePointer_v2, (CUdeviceptr * device, void* address, unsigned flags)) {
  return ManagedSpace::get().owns(address)
             ? invalid_value
             : SLUICE_REAL(cuMemHostGetDevicePointer_v2)(device, address, flags);
}

SLUICE_WRAP(cuIpcGetMemHandle, (void* handle, CUdeviceptr address)) {
  return ManagedSpace::get().owns(address) ? invalid_value
                                           : SLUICE_REAL(cuIpcGetMemHandle)(handle, address);
}

SLUICE_WRAP(cuMemRetainAllocationHandle, (unsigned long long* handle, void* address)) {
  return ManagedSpace::get().owns(address)
             ? invalid_value
             : SLUICE_REAL(cuMemRetainAllocationHandle)(handle, address);
}

SLUICE_WRAP(cuMemGetHandleForAddressRange, (void* handle, CUdeviceptr address, std::size_t size,
                                            int type, unsigned long long flags)) {
  return ManagedSpace::get().owns(address)
             ? invalid_value
             : SLUICE_REAL(cuMemGetHandleForAddressRange)(handle, address, size, type, flags);
}

}  // namespace sluice::cuda
