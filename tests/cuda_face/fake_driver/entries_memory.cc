// Memory: reservations, the driver's allocations and their mappings, plain device memory, host
// memory, and what pointers are.
#include <algorithm>
#include <cstring>
#include <map>

#include "cuda_face/fake_driver/entries.hpp"

namespace sluice::fake_cuda {
namespace {

using device::cuda::error_out_of_memory;

struct Handles {
  std::mutex mutex;
  std::map<CUmemGenericAllocationHandle, std::shared_ptr<Memory>> memory;
  CUmemGenericAllocationHandle last = 0x5000;
};

Handles& handles() {
  static Handles& all = *new Handles;
  return all;
}

bool is_granular(std::uint64_t value) { return value % granularity == 0; }

AddressTable& table() { return AddressTable::get(); }

CUresult add(CUdeviceptr begin, std::size_t size, Source source, std::shared_ptr<Memory> memory,
             unsigned flags = 0) {
  auto mapping = std::make_shared<Mapping>();
  mapping->begin = begin;
  mapping->size = size;
  mapping->source = source;
  mapping->memory = std::move(memory);
  mapping->flags = flags;
  if (source != Source::mapped) {
    mapping->context = current_context();
    mapping->give_access_to_all();
  }
  return table().add(mapping) ? success : error_invalid_value;
}

// Of the kinds that begin where the program was told.
MappingPointer whole(CUdeviceptr begin, Source source) {
  MappingPointer found = table().at(begin);
  return found != nullptr && found->begin == begin && found->source == source ? found : nullptr;
}

}  // namespace

FAKE_ENTRY(cuMemGetInfo_v2, (std::size_t* free, std::size_t* total)) {
  FAKE_ENTER_CONTEXT();
  *total = settings().memory;
  *free = *total - std::min(*total, Memory::in_use(here().gpu));
  return success;
}

// --- the virtual-memory calls --------------------------------------------------------------------

FAKE_ENTRY(cuMemAddressReserve, (CUdeviceptr * address, std::size_t size, std::size_t alignment,
                                 CUdeviceptr hint, unsigned long long flags)) {
  FAKE_ENTER();
  if (size == 0 || !is_granular(size) || !is_granular(alignment) || flags != 0)
    return error_invalid_value;
  return table().reserve(address, size, hint) ? success : error_out_of_memory;
}

FAKE_ENTRY(cuMemAddressFree, (CUdeviceptr address, std::size_t size)) {
  FAKE_ENTER();
  return table().release(address, size) ? success : error_invalid_value;
}

FAKE_ENTRY(cuMemGetAllocationGranularity,
           (std::size_t* size, const CUmemAllocationProp*, int /*option*/)) {
  FAKE_ENTER();
  *size = granularity;
  return success;
}

FAKE_ENTRY(cuMemCreate, (CUmemGenericAllocationHandle * handle, std::size_t size,
                         const CUmemAllocationProp* properties, unsigned long long flags)) {
  FAKE_ENTER();
  if (size == 0 || !is_granular(size) || flags != 0 ||
      properties->type != device::cuda::allocation_pinned)
    return error_invalid_value;
  const CUmemLocation& place = properties->location;
  const bool on_gpu = place.type == device::cuda::location_device;
  if (on_gpu && (place.id < 0 || place.id >= settings().gpus)) return error_invalid_device;
  if (!on_gpu && place.type != device::cuda::location_host_numa) return error_not_supported;
  auto made = Memory::make(on_gpu ? place.id : -1, size);
  if (made == nullptr) return error_out_of_memory;
  Handles& all = handles();
  const std::lock_guard lock(all.mutex);
  *handle = ++all.last;
  all.memory.emplace(*handle, std::move(made));
  return success;
}

FAKE_ENTRY(cuMemRelease, (CUmemGenericAllocationHandle handle)) {
  FAKE_ENTER();
  Handles& all = handles();
  const std::lock_guard lock(all.mutex);
  return all.memory.erase(handle) != 0 ? success : error_invalid_value;
}

FAKE_ENTRY(cuMemMap, (CUdeviceptr address, std::size_t size, std::size_t offset,
                      CUmemGenericAllocationHandle handle, unsigned long long flags)) {
  FAKE_ENTER();
  Handles& all = handles();
  std::shared_ptr<Memory> memory;
  {
    const std::lock_guard lock(all.mutex);
    const auto found = all.memory.find(handle);
    if (found != all.memory.end()) memory = found->second;
  }
  // Only whole allocations can be mapped.
  if (memory == nullptr || offset != 0 || flags != 0 || size != memory->size() ||
      !is_granular(address) || !table().is_reserved(address, size))
    return error_invalid_value;
  return add(address, size, Source::mapped, std::move(memory));
}

FAKE_ENTRY(cuMemUnmap, (CUdeviceptr address, std::size_t size)) {
  FAKE_ENTER();
  if (size == 0 || !table().is_whole(address, size, Source::mapped)) return error_invalid_value;
  table().remove(address, size, __func__);
  return success;
}

FAKE_ENTRY(cuMemSetAccess, (CUdeviceptr address, std::size_t size, const CUmemAccessDesc* rights,
                            std::size_t count)) {
  FAKE_ENTER();
  if (size == 0 || !table().is_whole(address, size, Source::mapped)) return error_invalid_value;
  for (std::size_t i = 0; i < count; ++i) {
    if (rights[i].location.type != device::cuda::location_device) return error_not_supported;
    if (rights[i].location.id < 0 || rights[i].location.id >= settings().gpus)
      return error_invalid_device;
  }
  for (CUdeviceptr at = address; at < address + size;) {
    const MappingPointer mapping = table().at(at);
    if (mapping == nullptr) return error_invalid_value;
    for (std::size_t i = 0; i < count; ++i) {
      std::atomic<int>& access = mapping->access[static_cast<std::size_t>(rights[i].location.id)];
      const int before = access.exchange(rights[i].flags);
      if (settings().gap && before != access_none) ++mapping->gaps;
    }
    at = mapping->end();
  }
  table().change();
  return success;
}

// --- device memory -------------------------------------------------------------------------------

FAKE_ENTRY(cuMemAlloc_v2, (CUdeviceptr * address, std::size_t size)) {
  FAKE_ENTER_CONTEXT();
  if (size == 0) return error_invalid_value;
  const std::size_t whole_size = (size + granularity - 1) / granularity * granularity;
  auto memory = Memory::make(here().gpu, whole_size);
  if (memory == nullptr || !table().reserve(address, whole_size, 0)) return error_out_of_memory;
  return add(*address, size, Source::allocated, std::move(memory));
}

FAKE_ENTRY(cuMemFree_v2, (CUdeviceptr address)) {
  FAKE_ENTER_CONTEXT();
  if (address == 0) return success;
  const MappingPointer found = table().at(address);
  if (found == nullptr || found->begin != address ||
      (found->source != Source::allocated && found->source != Source::managed))
    return error_invalid_value;
  here().wait_until_idle();
  table().remove(address, 1, __func__);
  if (found->source == Source::allocated) (void)table().release(address, found->memory->size());
  return here().lost;
}

FAKE_ENTRY(cuMemAllocManaged, (CUdeviceptr * address, std::size_t size, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  if (size == 0 || (flags != 1 && flags != 2)) return error_invalid_value;
  const std::size_t whole_size = (size + granularity - 1) / granularity * granularity;
  auto memory = Memory::make(-1, whole_size);
  if (memory == nullptr) return error_out_of_memory;
  std::memset(memory->bytes(), 0, std::min(whole_size, granularity));
  *address = reinterpret_cast<CUdeviceptr>(memory->bytes());
  return add(*address, size, Source::managed, std::move(memory), flags);
}

// --- host memory ---------------------------------------------------------------------------------

FAKE_ENTRY(cuMemPrefetchAsync_v2, (CUdeviceptr address, std::size_t size, CUmemLocation /*to*/,
                                   unsigned flags, CUstream stream)) {
  FAKE_ENTER_CONTEXT();
  const MappingPointer mapping = AddressTable::get().at(address);
  if (mapping == nullptr || mapping->source != Source::managed || size == 0 || flags != 0)
    return error_invalid_value;
  return here().find(stream) != nullptr ? success : error_invalid_handle;
}

FAKE_ENTRY(cuMemAdvise_v2,
           (CUdeviceptr address, std::size_t size, int /*advice*/, CUmemLocation /*location*/)) {
  FAKE_ENTER_CONTEXT();
  const MappingPointer mapping = AddressTable::get().at(address);
  const bool is_managed = mapping != nullptr && mapping->source == Source::managed;
  return is_managed && size != 0 ? success : error_invalid_value;
}

FAKE_ENTRY(cuMemHostAlloc, (void** address, std::size_t size, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  if (size == 0) return error_invalid_value;
  auto memory = Memory::make(-1, size);
  if (memory == nullptr) return error_out_of_memory;
  *address = memory->bytes();
  return add(reinterpret_cast<CUdeviceptr>(*address), size, Source::pinned, std::move(memory),
             flags);
}

FAKE_ENTRY(cuMemFreeHost, (void* address)) {
  FAKE_ENTER_CONTEXT();
  const auto begin = reinterpret_cast<CUdeviceptr>(address);
  if (whole(begin, Source::pinned) == nullptr) return error_invalid_value;
  here().wait_until_idle();
  table().remove(begin, 1, __func__);
  return here().lost;
}

FAKE_ENTRY(cuMemHostRegister_v2, (void* address, std::size_t size, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  if (address == nullptr || size == 0) return error_invalid_value;
  const auto begin = reinterpret_cast<CUdeviceptr>(address);
  if (const MappingPointer there = table().first_in(begin, size))
    return there->source == Source::registered ? error_already_registered : error_invalid_value;
  auto memory = Memory::of_host(address, size);
  if (memory == nullptr) return error_invalid_value;
  return add(begin, size, Source::registered, std::move(memory), flags);
}

// The one call here that waits for running kernels.
FAKE_ENTRY(cuMemHostUnregister, (void* address)) {
  FAKE_ENTER_CONTEXT();
  const auto begin = reinterpret_cast<CUdeviceptr>(address);
  if (whole(begin, Source::registered) == nullptr) return error_not_registered;
  here().wait_until_idle();
  table().remove(begin, 1, __func__);
  return here().lost;
}

FAKE_ENTRY(cuMemHostGetDevicePointer_v2,
           (CUdeviceptr * device_address, void* address, unsigned flags)) {
  FAKE_ENTER_CONTEXT();
  const auto begin = reinterpret_cast<CUdeviceptr>(address);
  const MappingPointer found = table().at(begin);
  if (flags != 0 || found == nullptr ||
      (found->source != Source::registered && found->source != Source::pinned))
    return error_invalid_value;
  *device_address = begin;
  return success;
}

FAKE_ENTRY(cuMemGetAddressRange_v2, (CUdeviceptr * base, std::size_t* size, CUdeviceptr address)) {
  FAKE_ENTER_CONTEXT();
  const MappingPointer found = table().at(address);
  if (found == nullptr) return error_not_found;
  if (base != nullptr) *base = found->begin;
  if (size != nullptr) *size = found->size;
  return success;
}

}  // namespace sluice::fake_cuda
