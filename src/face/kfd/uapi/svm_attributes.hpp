// SvmAttributes: the advice of one process about its own memory, by page.
//
// Linux 6.1, kfd_svm.c: svm_range_check_attr, svm_range_set_attr, svm_range_get_attr,
// svm_range_apply_attrs, svm_range_best_prefetch_location, svm_range_best_restore_location.
//
// A GPU reaches the pages that it has access to, and the pages are where attributes and faults of
// GPUs have put them. The bytes themselves stay in the process's own memory, so an access of the
// host is not noticed, and does not bring pages back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "face/kfd/uapi/abi.hpp"
#include "face/kfd/uapi/smi_events.hpp"
#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {

class SvmAttributes {
 public:
  // For GPUs 0 to gpus-1, which have the ids of gpu_id_of().
  SvmAttributes(int gpus, Links links) : gpus_(gpus), links_(links) {}

  // The attributes alone: 0 or EINVAL.
  [[nodiscard]] int check(std::span<const abi::SvmAttribute> attributes) const;
  // Sets them for whole pages, which must have been checked, like the attributes.
  // With XNACK pages that had none begin with access for all GPUs (svm_range_new).
  void set(std::uint64_t address, std::uint64_t size, bool xnack,
           std::span<const abi::SvmAttribute> attributes);
  // Fills in the values: what all of the pages agree on. 0 or EINVAL.
  [[nodiscard]] int get(std::uint64_t address, std::uint64_t size, bool xnack,
                        std::span<abi::SvmAttribute> attributes) const;
  // The memory is not there any more.
  void forget(std::uint64_t address, std::uint64_t size);
  // Moves pages to where they shall be prefetched. `move(gpu)` is asked before each run of pages
  // moves, to that GPU or from it: an error ends the call, and what has moved stays.
  [[nodiscard]] int prefetch(std::uint64_t address, std::uint64_t size, bool xnack,
                             const std::function<int(int gpu)>& move);
  // Bytes from the address on that the GPU reaches; 0: none, a fault. With XNACK pages move to
  // where the GPU's fault takes them.
  [[nodiscard]] std::uint64_t reach(int gpu, std::uint64_t address, bool writes, bool xnack);
  // The id of the GPU that has the page; 0: the host.
  [[nodiscard]] std::uint32_t location(std::uint64_t address) const;
  // A fault, a migration, or both, in their order; those since the last time.
  struct Note {
    std::optional<smi::PageFault> fault;
    std::optional<smi::Migration> moved;
  };
  [[nodiscard]] std::vector<Note> take_notes() noexcept { return std::exchange(notes_, {}); }
  // True if any of these bytes has attributes.
  [[nodiscard]] bool covers_any(std::uint64_t address, std::uint64_t size) const;

 private:
  struct Values {
    std::uint32_t preferred = abi::svm::undefined;
    std::uint32_t prefetch = abi::svm::undefined;
    std::uint32_t flags = abi::svm::host_access | abi::svm::coherent;
    std::uint8_t granularity = 9;
    std::uint64_t access = 0;    // a bit for each GPU
    std::uint64_t in_place = 0;  // a bit for each GPU
    std::uint32_t location = abi::svm::system_memory;
    std::uint64_t mapped_on = 0;  // with XNACK: GPUs that have faulted here
  };
  struct Run {
    std::uint64_t end = 0;
    Values values;
  };
  struct Common;

  void split(std::uint64_t address);
  void apply(Values& values, std::span<const abi::SvmAttribute> attributes) const;
  [[nodiscard]] Common common(std::uint64_t address, std::uint64_t size, bool xnack) const;
  [[nodiscard]] std::uint64_t all_gpus() const noexcept;

  [[nodiscard]] bool is_linked(int one, int other) const noexcept;
  [[nodiscard]] std::uint32_t prefetch_location(const Values& values, bool xnack) const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> restore_location(const Values& values,
                                                              int gpu) const noexcept;
  [[nodiscard]] smi::Migration move(std::uint64_t address, Run& run, std::uint32_t to,
                                    smi::MigrationCause cause);

  int gpus_;
  Links links_;
  std::map<std::uint64_t, Run> runs_;  // by their first byte; they do not meet
  std::vector<Note> notes_;
};

}  // namespace sluice::kfd
