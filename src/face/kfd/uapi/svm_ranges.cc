// Where the pages of ranges are: svm_attributes.hpp. Linux 6.1, kfd_svm.c: svm_range_set_attr,
// svm_range_trigger_migration, svm_range_restore_pages. A run of pages with the same attributes
// moves as a whole; Linux moves at a fault as much of it as the granularity says.
#include <algorithm>

#include "face/kfd/uapi/svm_attributes.hpp"

namespace sluice::kfd {

namespace svm = abi::svm;

// svm_nodes_in_same_hive
bool SvmAttributes::is_linked(int one, int other) const noexcept {
  return one == other || links_ == Links::xgmi;
}

// svm_range_best_prefetch_location: the host, if a GPU has access that is not linked to the one
// that is named.
std::uint32_t SvmAttributes::prefetch_location(const Values& values, bool xnack) const noexcept {
  if (values.prefetch == svm::undefined || values.prefetch == svm::system_memory)
    return values.prefetch;
  const int target = gpu_of_id(values.prefetch, gpus_);
  const std::uint64_t others = xnack ? values.in_place : values.access | values.in_place;
  for (int gpu = 0; gpu < gpus_; ++gpu)
    if ((others >> gpu & 1) != 0 && !is_linked(gpu, target)) return svm::system_memory;
  return values.prefetch;
}

// svm_range_best_restore_location; none: the GPU has no access.
std::optional<std::uint32_t> SvmAttributes::restore_location(const Values& values,
                                                             int gpu) const noexcept {
  if (values.preferred == gpu_id_of(gpu) || values.preferred == svm::system_memory)
    return values.preferred;
  if (values.preferred != svm::undefined && is_linked(gpu_of_id(values.preferred, gpus_), gpu))
    return values.preferred;
  if ((values.access >> gpu & 1) != 0) return gpu_id_of(gpu);
  if ((values.in_place >> gpu & 1) == 0) return std::nullopt;
  const bool stays =
      values.location != svm::system_memory && is_linked(gpu_of_id(values.location, gpus_), gpu);
  return stays ? values.location : svm::system_memory;
}

smi::Migration SvmAttributes::move(std::uint64_t address, Run& run, std::uint32_t to,
                                   smi::MigrationCause cause) {
  Values& values = run.values;
  const smi::Migration moved{.address = address,
                             .size = run.end - address,
                             .from = values.location,
                             .to = to,
                             .prefetch = values.prefetch,
                             .preferred = values.preferred,
                             .cause = cause};
  values.location = to;
  values.mapped_on = 0;
  return moved;
}

int SvmAttributes::prefetch(std::uint64_t address, std::uint64_t size, bool xnack,
                            const std::function<int(int gpu)>& may_move) {
  for (auto run = runs_.lower_bound(address); run != runs_.end() && run->first < address + size;
       ++run) {
    const Values& values = run->second.values;
    const std::uint32_t to = prefetch_location(values, xnack);
    if (to == svm::undefined || to == values.location) continue;
    const std::uint32_t asked = to != svm::system_memory ? to : values.location;
    if (const int error = may_move(gpu_of_id(asked, gpus_))) return error;
    notes_.push_back(
        {std::nullopt, move(run->first, run->second, to, smi::MigrationCause::prefetch)});
  }
  return 0;
}

std::uint64_t SvmAttributes::reach(int gpu, std::uint64_t address, bool writes, bool xnack) {
  constexpr std::uint64_t page = 4096;
  auto run = runs_.upper_bound(address);
  const bool is_known = run != runs_.begin() && std::prev(run)->second.end > address;
  // Memory without attributes is accessible with XNACK (svm_range_create_unregistered_range).
  if (!is_known) return xnack ? page - address % page : 0;
  --run;
  Values& values = run->second.values;
  const std::uint64_t there = run->second.end - address;
  const std::uint64_t bit = std::uint64_t{1} << gpu;
  if (!xnack) return ((values.access | values.in_place) & bit) != 0 ? there : 0;
  if ((values.mapped_on & bit) != 0) return there;
  const auto to = restore_location(values, gpu);
  if (!to) return 0;
  Note note{smi::PageFault{.address = address,
                           .gpu_id = gpu_id_of(gpu),
                           .writes = writes,
                           .migrates = *to != values.location},
            std::nullopt};
  if (note.fault->migrates)
    note.moved = move(run->first, run->second, *to, smi::MigrationCause::gpu_fault);
  values.mapped_on |= bit;
  notes_.push_back(note);
  return there;
}

std::uint32_t SvmAttributes::location(std::uint64_t address) const {
  const auto next = runs_.upper_bound(address);
  if (next == runs_.begin() || std::prev(next)->second.end <= address) return svm::system_memory;
  return std::prev(next)->second.values.location;
}

}  // namespace sluice::kfd
