// Hints about managed memory: prefetch, advice, attributes of ranges, streams that it is attached
// to.
//
// A prefetch begins at once: the data may come earlier than the program asks. One to a GPU is
// waited for in the call, so that whatever comes into the stream later finds the data there. What
// it does not do: wait for a prefetch to the host, which may wait for kernels; or remember the last
// prefetch, which is said to be unknown.
#include <chrono>
#include <optional>
#include <span>

#include "face/cuda/managed.hpp"
#include "face/cuda/streams.hpp"
#include "face/cuda/wrapper.hpp"
#include "os/uncancelled.hpp"

namespace sluice::cuda {
namespace {

constexpr auto patience = std::chrono::seconds(1);
constexpr int cpu_device = -1;  // CU_DEVICE_CPU
constexpr int no_device = -2;   // CU_DEVICE_INVALID
constexpr int host_type = 2;    // CU_MEM_LOCATION_TYPE_*
constexpr int host_numa_type = 3;
constexpr int host_numa_current_type = 4;
constexpr int device_type = 1;

// CU_MEM_ADVISE_*, and the CU_MEM_RANGE_ATTRIBUTE_* of the first three.
enum Advice : int {
  set_read_mostly = 1,
  unset_read_mostly = 2,
  set_preferred = 3,
  unset_preferred = 4,
  set_accessed_by = 5,
  unset_accessed_by = 6,
};
enum Attribute : int {
  read_mostly = 1,
  preferred = 2,
  accessed_by = 3,
  last_prefetch = 4,
  preferred_type = 5,
  preferred_id = 6,
  last_prefetch_type = 7,
  last_prefetch_id = 8,
};

AddressSpan span(CUdeviceptr begin, std::size_t size) { return {Address{begin}, size}; }

bool is_gpu(int device) {
  return device >= 0 && device < ManagedSpace::get().engine().device_count();
}

// A place by the driver's first interface: a GPU or the CPU. Nothing: neither.
std::optional<Location> place_of(int device) {
  if (device == cpu_device) return Location::host();
  if (is_gpu(device)) return Location::device(device);
  return std::nullopt;
}

struct Place {
  CUresult error = success;
  Location location = Location::host();
};

Place place_of(const CUmemLocation& place) {
  switch (place.type) {
    case device_type:
      if (!is_gpu(place.id)) return {invalid_device};
      return {success, Location::device(place.id)};
    case host_type:
    case host_numa_current_type:
      return {};
    case host_numa_type:
      if (place.id < 0 || place.id > 1023) return {invalid_value};
      return {};
    default:
      return {invalid_value};
  }
}

CUresult prefetch(CUdeviceptr begin, std::size_t size, Location to) {
  const os::Uncancelled whole_call;
  if (!ManagedSpace::get().holds(begin, size)) return invalid_value;
  // A prefetch does not wait for a section that is only held open.
  Streams::get().end_idle();
  engine::Engine& engine = ManagedSpace::get().engine();
  const auto begun = engine.prefetch(span(begin, size), to);
  // It is a hint: one that waits for a kernel is left to itself after a while.
  if (begun && to.is_device()) (void)engine.wait(*begun, {device::Clock::now() + patience, false});
  ManagedSpace::get().change();
  return success;
}

CUresult advise(CUdeviceptr begin, std::size_t size, int advice, Location location) {
  const os::Uncancelled whole_call;
  if (!ManagedSpace::get().holds(begin, size)) return invalid_value;
  constexpr AdviceKind kinds[] = {AdviceKind::read_mostly, AdviceKind::not_read_mostly,
                                  AdviceKind::prefer,      AdviceKind::no_preference,
                                  AdviceKind::accessed_by, AdviceKind::not_accessed_by};
  if (advice < set_read_mostly || advice > unset_accessed_by) return invalid_value;
  const AdviceKind kind = kinds[advice - 1];
  // The host reaches managed memory without advice.
  if (advice >= set_accessed_by && location.is_host()) return success;
  const auto done = ManagedSpace::get().engine().advise(span(begin, size), kind, location);
  ManagedSpace::get().change();
  return done ? success : code_of(done.error());
}

bool names_no_place(int advice) {
  return advice == set_read_mostly || advice == unset_read_mostly || advice == unset_preferred;
}

int number_of(Location location) { return location.is_host() ? cpu_device : location.number(); }

// All pages of the span have it, or the answer says that they do not agree.
template <typename Value, typename Get>
Value common(CUdeviceptr begin, std::size_t size, Value otherwise, const Get& get) {
  engine::Engine& engine = ManagedSpace::get().engine();
  std::optional<Value> found;
  for (CUdeviceptr at = begin; at < begin + size; at = (at / page_size + 1) * page_size) {
    const auto attributes = engine.attributes(Address{at});
    const Value value = attributes ? get(*attributes) : otherwise;
    if (found && *found != value) return otherwise;
    found = value;
  }
  return found.value_or(otherwise);
}

CUresult give_accessed_by(int* devices, std::size_t count, CUdeviceptr begin, std::size_t size) {
  std::size_t given = 0;
  for (int device = 0; device < ManagedSpace::get().engine().device_count() && given < count;
       ++device)
    if (common(begin, size, false, [&](const Attributes& attributes) {
          return attributes.accessed_by.contains(Location::device(device));
        }))
      devices[given++] = device;
  while (given < count) devices[given++] = no_device;
  return success;
}

CUresult range_attribute(void* data, std::size_t data_size, int attribute, CUdeviceptr begin,
                         std::size_t size) {
  if (data == nullptr || !ManagedSpace::get().holds(begin, size)) return invalid_value;
  auto* const out = static_cast<int*>(data);
  if (attribute == accessed_by) {
    if (data_size == 0 || data_size % sizeof(int) != 0) return invalid_value;
    return give_accessed_by(out, data_size / sizeof(int), begin, size);
  }
  if (data_size != sizeof(int)) return invalid_value;
  const int place = common(begin, size, no_device, [](const Attributes& attributes) {
    return attributes.preferred ? number_of(*attributes.preferred) : no_device;
  });
  switch (attribute) {
    case read_mostly:
      *out = common(begin, size, false, [](const Attributes& all) { return all.read_mostly; });
      return success;
    case preferred:
      *out = place;
      return success;
    case preferred_type:
      *out = place == no_device ? 0 : place == cpu_device ? host_type : device_type;
      return success;
    case preferred_id:
      *out = place >= 0 ? place : 0;
      return success;
    case last_prefetch:
      *out = no_device;
      return success;
    case last_prefetch_type:
    case last_prefetch_id:
      *out = 0;
      return success;
    default:
      return invalid_value;
  }
}

CUresult prefetch_to(CUdeviceptr begin, std::size_t size, int device) {
  const auto to = place_of(device);
  if (!ManagedSpace::get().holds(begin, size)) return invalid_value;
  return to ? prefetch(begin, size, *to) : invalid_device;
}

CUresult prefetch_to(CUdeviceptr begin, std::size_t size, const CUmemLocation& place,
                     unsigned flags) {
  if (flags != 0) return invalid_value;
  const Place to = place_of(place);
  return to.error != success ? to.error : prefetch(begin, size, to.location);
}

CUresult attach(CUdeviceptr begin, std::size_t size, unsigned flags, bool has_stream) {
  constexpr unsigned single = 4;
  const auto range = ManagedSpace::get().range_of(begin);
  const bool is_whole = range && reinterpret_cast<CUdeviceptr>(range->base) == begin &&
                        (size == 0 || size == range->size);
  const bool is_known = flags == attach_global || flags == attach_host || flags == single;
  return is_whole && is_known && (flags != single || has_stream) ? success : invalid_value;
}

bool are_managed(std::span<CUdeviceptr> begins, const std::size_t* sizes) {
  for (std::size_t i = 0; i < begins.size(); ++i)
    if (!ManagedSpace::get().holds(begins[i], sizes[i])) return false;
  return true;
}

CUresult prefetch_list(std::span<CUdeviceptr> begins, const std::size_t* sizes,
                       std::span<CUmemLocation> places, const std::size_t* first) {
  if (places.empty() || first[0] != 0 || !are_managed(begins, sizes)) return invalid_value;
  std::size_t place = 0;
  for (std::size_t i = 0; i < begins.size(); ++i) {
    while (place + 1 < places.size() && first[place + 1] <= i) ++place;
    const CUresult error = prefetch_to(begins[i], sizes[i], places[place], 0);
    if (error != success) return error;
  }
  return success;
}

}  // namespace

SLUICE_WRAP(cuMemPrefetchAsync,
            (CUdeviceptr begin, std::size_t size, CUdevice device, CUstream stream)) {
  return ManagedSpace::get().owns(begin)
             ? prefetch_to(begin, size, device)
             : SLUICE_REAL(cuMemPrefetchAsync)(begin, size, device, stream);
}

SLUICE_WRAP(cuMemPrefetchAsync_ptsz,
            (CUdeviceptr begin, std::size_t size, CUdevice device, CUstream stream)) {
  return ManagedSpace::get().owns(begin)
             ? prefetch_to(begin, size, device)
             : SLUICE_REAL(cuMemPrefetchAsync_ptsz)(begin, size, device, stream);
}

SLUICE_WRAP(cuMemPrefetchAsync_v2, (CUdeviceptr begin, std::size_t size, CUmemLocation place,
                                    unsigned flags, CUstream stream)) {
  return ManagedSpace::get().owns(begin)
             ? prefetch_to(begin, size, place, flags)
             : SLUICE_REAL(cuMemPrefetchAsync_v2)(begin, size, place, flags, stream);
}

SLUICE_WRAP(cuMemPrefetchAsync_v2_ptsz, (CUdeviceptr begin, std::size_t size, CUmemLocation place,
                                         unsigned flags, CUstream stream)) {
  return ManagedSpace::get().owns(begin)
             ? prefetch_to(begin, size, place, flags)
             : SLUICE_REAL(cuMemPrefetchAsync_v2_ptsz)(begin, size, place, flags, stream);
}

// Lists of spans, each of which goes to the place whose first span comes before it.
#define SLUICE_PREFETCH_LIST(name, takes_default)                                                \
  SLUICE_WRAP(name, (CUdeviceptr * begins, std::size_t* sizes, std::size_t count,                \
                     CUmemLocation* places, std::size_t* first, std::size_t place_count,         \
                     unsigned long long flags, CUstream stream)) {                               \
    if (count == 0 || begins == nullptr || !ManagedSpace::get().owns(begins[0]))                 \
      return SLUICE_REAL(name)(begins, sizes, count, places, first, place_count, flags, stream); \
    if ((stream == nullptr && !takes_default) || flags != 0) return invalid_value;               \
    return prefetch_list({begins, count}, sizes, {places, place_count}, first);                  \
  }
SLUICE_PREFETCH_LIST(cuMemPrefetchBatchAsync, false)
SLUICE_PREFETCH_LIST(cuMemPrefetchBatchAsync_ptsz, true)
SLUICE_PREFETCH_LIST(cuMemDiscardAndPrefetchBatchAsync, false)
SLUICE_PREFETCH_LIST(cuMemDiscardAndPrefetchBatchAsync_ptsz, true)
#undef SLUICE_PREFETCH_LIST

// Bytes that are given up may keep their values.
#define SLUICE_DISCARD_LIST(name, takes_default)                                   \
  SLUICE_WRAP(name, (CUdeviceptr * begins, std::size_t* sizes, std::size_t count,  \
                     unsigned long long flags, CUstream stream)) {                 \
    if (count == 0 || begins == nullptr || !ManagedSpace::get().owns(begins[0]))   \
      return SLUICE_REAL(name)(begins, sizes, count, flags, stream);               \
    if ((stream == nullptr && !takes_default) || flags != 0) return invalid_value; \
    return are_managed({begins, count}, sizes) ? success : invalid_value;          \
  }
SLUICE_DISCARD_LIST(cuMemDiscardBatchAsync, false)
SLUICE_DISCARD_LIST(cuMemDiscardBatchAsync_ptsz, true)
#undef SLUICE_DISCARD_LIST

SLUICE_WRAP(cuMemAdvise, (CUdeviceptr begin, std::size_t size, int advice, CUdevice device)) {
  if (!ManagedSpace::get().owns(begin))
    return SLUICE_REAL(cuMemAdvise)(begin, size, advice, device);
  const auto place = names_no_place(advice) ? Location::host() : place_of(device);
  return place ? advise(begin, size, advice, *place) : invalid_device;
}

SLUICE_WRAP(cuMemAdvise_v2,
            (CUdeviceptr begin, std::size_t size, int advice, CUmemLocation location)) {
  if (!ManagedSpace::get().owns(begin))
    return SLUICE_REAL(cuMemAdvise_v2)(begin, size, advice, location);
  if (names_no_place(advice)) return advise(begin, size, advice, Location::host());
  const Place place = place_of(location);
  const bool near_host = location.type == host_numa_type;
  if (place.error != success || (advice >= set_accessed_by && near_host)) return invalid_value;
  return advise(begin, size, advice, place.location);
}

SLUICE_WRAP(cuMemRangeGetAttribute, (void* data, std::size_t data_size, int attribute,
                                     CUdeviceptr begin, std::size_t size)) {
  return ManagedSpace::get().owns(begin)
             ? range_attribute(data, data_size, attribute, begin, size)
             : SLUICE_REAL(cuMemRangeGetAttribute)(data, data_size, attribute, begin, size);
}

SLUICE_WRAP(cuMemRangeGetAttributes, (void** data, std::size_t* data_sizes, int* attributes,
                                      std::size_t count, CUdeviceptr begin, std::size_t size)) {
  if (!ManagedSpace::get().owns(begin))
    return SLUICE_REAL(cuMemRangeGetAttributes)(data, data_sizes, attributes, count, begin, size);
  for (std::size_t i = 0; i < count; ++i) {
    const CUresult error = range_attribute(data[i], data_sizes[i], attributes[i], begin, size);
    if (error != success) return error;
  }
  return count != 0 ? success : invalid_value;
}

// Whom it is attached to is of no use to Sluice, and checked as the driver checks it.
#define SLUICE_ATTACH(name, takes_default)                                                      \
  SLUICE_WRAP(name, (CUstream stream, CUdeviceptr begin, std::size_t size, unsigned flags)) {   \
    if (!ManagedSpace::get().owns(begin)) return SLUICE_REAL(name)(stream, begin, size, flags); \
    return attach(begin, size, flags, stream != nullptr || takes_default);                      \
  }
SLUICE_ATTACH(cuStreamAttachMemAsync, false)
SLUICE_ATTACH(cuStreamAttachMemAsync_ptsz, true)
#undef SLUICE_ATTACH

}  // namespace sluice::cuda
