// The rules of svm_attributes.hpp.
#include "face/kfd/uapi/svm_attributes.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {

namespace svm = abi::svm;

// The values that the pages of a range agree on, as svm_range_get_attr collects it.
struct SvmAttributes::Common {
  std::uint32_t preferred = svm::undefined;
  std::uint32_t prefetch = svm::undefined;
  std::uint32_t flags_and = 0;
  std::uint32_t flags_or = 0;
  std::uint32_t granularity = 0;
  std::uint64_t access = 0;
  std::uint64_t in_place = 0;
};

std::uint64_t SvmAttributes::all_gpus() const noexcept {
  return gpus_ >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << gpus_) - 1;
}

int SvmAttributes::check(std::span<const abi::SvmAttribute> attributes) const {
  for (const auto& [type, value] : attributes) {
    bool names_gpu = false;
    switch (type) {
      case svm::preferred_location:
        names_gpu = value != svm::system_memory && value != svm::undefined;
        break;
      case svm::prefetch_location:
        names_gpu = value != svm::system_memory;
        break;
      case svm::access:
      case svm::access_in_place:
      case svm::no_access:
        names_gpu = true;
        break;
      case svm::set_flags:
      case svm::clear_flags:
      case svm::granularity:
        break;
      default:
        return EINVAL;
    }
    if (names_gpu && gpu_of_id(value, gpus_) < 0) return EINVAL;
  }
  return 0;
}

void SvmAttributes::apply(Values& values, std::span<const abi::SvmAttribute> attributes) const {
  constexpr std::uint32_t most_granularity = 0x3f;
  for (const auto& [type, value] : attributes) {
    const int gpu = gpu_of_id(value, gpus_);
    const std::uint64_t bit = gpu < 0 ? 0 : std::uint64_t{1} << gpu;
    switch (type) {
      case svm::preferred_location:
        values.preferred = value;
        break;
      case svm::prefetch_location:
        values.prefetch = value;
        break;
      case svm::access:
      case svm::access_in_place:
      case svm::no_access:
        values.access &= ~bit;
        values.in_place &= ~bit;
        values.mapped_on &= ~bit;
        if (type == svm::access) values.access |= bit;
        if (type == svm::access_in_place) values.in_place |= bit;
        break;
      case svm::set_flags:
        values.flags |= value;
        break;
      case svm::clear_flags:
        values.flags &= ~value;
        break;
      default:
        values.granularity = static_cast<std::uint8_t>(std::min(value, most_granularity));
    }
  }
}

// Makes a run begin at the address if one covers it.
void SvmAttributes::split(std::uint64_t address) {
  auto run = runs_.upper_bound(address);
  if (run == runs_.begin()) return;
  --run;
  if (run->first == address || run->second.end <= address) return;
  const Run tail = run->second;
  run->second.end = address;
  runs_.emplace(address, tail);
}

void SvmAttributes::set(std::uint64_t address, std::uint64_t size, bool xnack,
                        std::span<const abi::SvmAttribute> attributes) {
  const std::uint64_t end = address + size;
  Values fresh;
  fresh.access = xnack ? all_gpus() : 0;
  split(address);
  split(end);
  for (std::uint64_t at = address; at < end;) {
    const auto next = runs_.lower_bound(at);
    const bool is_here = next != runs_.end() && next->first == at;
    const std::uint64_t gap_end = next == runs_.end() ? end : std::min(end, next->first);
    Run& run = is_here ? next->second : runs_.emplace(at, Run{gap_end, fresh}).first->second;
    apply(run.values, attributes);
    at = run.end;
  }
}

SvmAttributes::Common SvmAttributes::common(std::uint64_t address, std::uint64_t size,
                                            bool xnack) const {
  Common found;
  bool is_first = true;
  auto run = runs_.upper_bound(address);
  if (run != runs_.begin()) --run;
  for (; run != runs_.end() && run->first < address + size; ++run) {
    if (run->second.end <= address) continue;
    const Values& values = run->second.values;
    if (is_first) {
      found = {values.preferred,   values.prefetch, values.flags,   values.flags,
               values.granularity, values.access,   values.in_place};
      is_first = false;
      continue;
    }
    if (found.preferred != values.preferred) found.preferred = svm::undefined;
    if (found.prefetch != values.prefetch) found.prefetch = svm::undefined;
    found.flags_and &= values.flags;
    found.flags_or |= values.flags;
    found.granularity = std::min<std::uint32_t>(found.granularity, values.granularity);
    found.access &= values.access;
    found.in_place &= values.in_place;
  }
  if (is_first) {
    const Values defaults;
    found.flags_and = found.flags_or = defaults.flags;
    found.granularity = defaults.granularity;
    found.access = xnack ? all_gpus() : 0;
  }
  return found;
}

int SvmAttributes::get(std::uint64_t address, std::uint64_t size, bool xnack,
                       std::span<abi::SvmAttribute> attributes) const {
  for (const auto& attribute : attributes)
    if (attribute.type > svm::granularity || attribute.type == svm::access_in_place ||
        attribute.type == svm::no_access)
      return EINVAL;
  const Common found = common(address, size, xnack);
  for (auto& [type, value] : attributes) {
    switch (type) {
      case svm::preferred_location:
        value = found.preferred;
        break;
      case svm::prefetch_location:
        value = found.prefetch;
        break;
      case svm::set_flags:
        value = found.flags_and;
        break;
      case svm::clear_flags:
        value = ~found.flags_or;
        break;
      case svm::granularity:
        value = found.granularity;
        break;
      default: {
        const int gpu = gpu_of_id(value, gpus_);
        if (gpu < 0) return EINVAL;
        type = (found.access >> gpu & 1) != 0     ? svm::access
               : (found.in_place >> gpu & 1) != 0 ? svm::access_in_place
                                                  : svm::no_access;
      }
    }
  }
  return 0;
}

// svm_range_cpu_invalidate_pagetables, svm_range_unmap_from_cpu
void SvmAttributes::forget(std::uint64_t address, std::uint64_t size) {
  split(address);
  split(address + size);
  runs_.erase(runs_.lower_bound(address), runs_.lower_bound(address + size));
}

bool SvmAttributes::covers_any(std::uint64_t address, std::uint64_t size) const {
  auto run = runs_.upper_bound(address);
  if (run != runs_.begin() && std::prev(run)->second.end > address) return true;
  return run != runs_.end() && run->first - address < size;
}

}  // namespace sluice::kfd
