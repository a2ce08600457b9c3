// Tells programs that a pointer into managed memory is one.
#include <cstring>

#include "face/cuda/managed.hpp"
#include "face/cuda/wrapper.hpp"

namespace sluice::cuda {
namespace {

// CU_POINTER_ATTRIBUTE_*
enum Attribute : int {
  context = 1,
  memory_type = 2,
  device_pointer = 3,
  host_pointer = 4,
  sync_memops = 6,
  buffer_id = 7,
  is_managed = 8,
  device_ordinal = 9,
  is_legacy_ipc_capable = 10,
  range_start = 11,
  range_size = 12,
  is_mapped = 13,
  allowed_handle_types = 14,
  is_rdma_capable = 15,
  access_flags = 16,
  mempool_handle = 17,
};
constexpr unsigned memory_type_device = 2;
constexpr unsigned access_read_write = 3;

template <typename T>
CUresult give(void* data, T value) noexcept {
  std::memcpy(data, &value, sizeof value);
  return success;
}

CUresult answer(void* data, int attribute, CUdeviceptr address, const RangeInfo& range) {
  switch (attribute) {
    case context: {
      static auto* const ask =
          reinterpret_cast<CUresult (*)(CUcontext*)>(find_real("cuCtxGetCurrent"));
      CUcontext now = nullptr;
      (void)ask(&now);
      return give(data, now);
    }
    case memory_type:
      return give(data, memory_type_device);
    case device_pointer:
    case host_pointer:
      return give(data, address);
    case sync_memops:
    case is_mapped:
      return give(data, int{1});
    case is_managed:
      return give(data, 1U);
    case buffer_id:
      return give(data, reinterpret_cast<unsigned long long>(range.base));
    case device_ordinal:
      return give(data, int{0});
    case range_start:
      return give(data, range.base);
    case range_size:
      return give(data, range.size);
    case is_legacy_ipc_capable:
    case is_rdma_capable:
      return give(data, int{0});
    case allowed_handle_types:
      return give(data, std::uint64_t{0});
    case access_flags:
      return give(data, access_read_write);
    case mempool_handle:
      return give(data, static_cast<void*>(nullptr));
    default:
      return invalid_value;
  }
}

}  // namespace

SLUICE_WRAP(cuPointerGetAttribute, (void* data, int attribute, CUdeviceptr address)) {
  const auto range = ManagedSpace::get().range_of(address);
  if (!range || data == nullptr)
    return SLUICE_REAL(cuPointerGetAttribute)(data, attribute, address);
  return answer(data, attribute, address, *range);
}

SLUICE_WRAP(cuPointerGetAttributes,
            (unsigned count, int* attributes, void** data, CUdeviceptr address)) {
  const auto range = ManagedSpace::get().range_of(address);
  if (!range || attributes == nullptr || data == nullptr)
    return SLUICE_REAL(cuPointerGetAttributes)(count, attributes, data, address);
  for (unsigned i = 0; i < count; ++i) {
    const CUresult error = answer(data[i], attributes[i], address, *range);
    if (error != success) return error;
  }
  return success;
}

// SYNC_MEMOPS is on for managed memory, and cannot be switched off.
SLUICE_WRAP(cuPointerSetAttribute, (const void* value, int attribute, CUdeviceptr address)) {
  if (!ManagedSpace::get().range_of(address))
    return SLUICE_REAL(cuPointerSetAttribute)(value, attribute, address);
  return attribute == sync_memops ? success : invalid_value;
}

SLUICE_WRAP(cuMemGetAddressRange_v2, (CUdeviceptr * base, std::size_t* size, CUdeviceptr address)) {
  const auto range = ManagedSpace::get().range_of(address);
  if (!range) return SLUICE_REAL(cuMemGetAddressRange_v2)(base, size, address);
  if (base != nullptr) *base = reinterpret_cast<CUdeviceptr>(range->base);
  if (size != nullptr) *size = range->size;
  return success;
}

}  // namespace sluice::cuda
