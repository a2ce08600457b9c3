// Context: the layer's record of an OpenCL context: its USM allocations and the arenas they lie in.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "arena.hpp"
#include "base/ranked_mutex.hpp"
#include "choice.hpp"
#include "device_memory.hpp"
#include "job_thread.hpp"
#include "svm_types.hpp"

namespace sluice::opencl {

// The part of an allocation's request that only clSVMAllocWithPropertiesKHR has.
struct UnifiedRequest {
  SvmType type = SvmType::coarse_buffer;
  unified_svm::AccessFlags access = 0;
  std::vector<cl_properties> properties;  // as given, with the 0 at their end
};

// One allocation as it was asked for. CL_MEM_TYPE_UNKNOWN_INTEL: as by clSVMAlloc.
struct AllocationRequest {
  cl_unified_shared_memory_type_intel type = CL_MEM_TYPE_UNKNOWN_INTEL;
  cl_device_id device = nullptr;
  cl_mem_alloc_flags_intel flags = 0;
  std::size_t size = 0;
  std::size_t alignment = 0;                                // a power of two
  cl_svm_mem_flags svm_flags = 0;                           // of clSVMAlloc
  std::shared_ptr<const UnifiedRequest> unified = nullptr;  // null: by another call

  // By a call of cl_intel_unified_shared_memory.
  [[nodiscard]] bool is_usm() const noexcept {
    return unified == nullptr && type != CL_MEM_TYPE_UNKNOWN_INTEL;
  }
  [[nodiscard]] SvmType svm_type() const noexcept {
    if (unified != nullptr) return unified->type;
    return (svm_flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0 ? SvmType::fine_buffer
                                                           : SvmType::coarse_buffer;
  }
};

// A set of types of allocations.
using TypeMask = std::uint32_t;
constexpr TypeMask all_types = ~TypeMask{0};
constexpr TypeMask type_bit(cl_unified_shared_memory_type_intel type) noexcept {
  return TypeMask{1} << (type - CL_MEM_TYPE_UNKNOWN_INTEL);
}

// The past use of an allocation, for Home::automatic (home.cc).
struct Usage {
  std::atomic<std::uint32_t> launches{0};
  std::atomic<std::uint32_t> returned{0};  // launches in a row that found it back on the host
};

struct Allocation {
  Address begin;
  AllocationRequest asked;
  Arena* arena = nullptr;                          // null: the driver's own, or device memory
  device::opencl::BufferBytes* buffers = nullptr;  // where the device has it, if in buffers
  std::shared_ptr<Usage> usage;
  void* base = nullptr;  // of the driver's own: the pointer that the driver frees

  [[nodiscard]] AddressSpan span() const noexcept { return {begin, asked.size}; }
  [[nodiscard]] bool begins_at(const void* pointer) const noexcept {
    return begin == Address::of(pointer);
  }
};

class Context {
 public:
  // `devices`: the first of them is where copies are made. `reported`: by the driver, which may
  // report the whole device for its parts, and then accepts both.
  Context(cl_context handle, std::vector<cl_device_id> devices, std::vector<cl_device_id> reported);

  [[nodiscard]] cl_context handle() const noexcept { return handle_; }
  [[nodiscard]] const std::vector<cl_device_id>& devices() const noexcept { return devices_; }
  [[nodiscard]] bool has(cl_device_id device) const noexcept;
  [[nodiscard]] Backend backend() const noexcept { return backend_; }
  // Of its devices, in its back end.
  [[nodiscard]] std::vector<SvmFeatures> svm_features() const;
  [[nodiscard]] bool moves() const noexcept { return backend_ != Backend::pass; }
  // Shared and host allocations have no device address; kernels get buffers for them.
  [[nodiscard]] bool has_buffers() const noexcept {
    return backend_ == Backend::addresses || backend_ == Backend::buffers;
  }
  // Kernels of SPIR-V that follow pointers are rebased (spirv_rebase.hpp).
  [[nodiscard]] bool rebases() const noexcept { return common_size_ != 0; }
  // The buffer that rebased kernels get. Null if an allocation is not in it.
  [[nodiscard]] const device::opencl::CommonBuffer* common_buffer() const;
  // Null but for the back end `addresses`.
  [[nodiscard]] DeviceMemory* device_memory() const noexcept { return device_memory_.get(); }

  // Null if the driver or the machine has no room; any other error is written to stderr.
  [[nodiscard]] void* allocate(const AllocationRequest& asked);
  // False: `pointer` is not the beginning of an allocation.
  [[nodiscard]] bool free(void* pointer);
  // The allocation that a byte lies in.
  [[nodiscard]] std::optional<Allocation> find(const void* pointer) const;
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] std::vector<Allocation> all(TypeMask types) const;

  // A list that only grows.
  [[nodiscard]] std::vector<Arena*> arenas() const;
  [[nodiscard]] JobThread& hints() noexcept { return hints_; }
  [[nodiscard]] JobThread& host_copies() noexcept { return host_copies_; }

  std::atomic<std::uint32_t> references{1};  // the program's

 private:
  [[nodiscard]] Result<Allocation> place(const AllocationRequest& asked);
  [[nodiscard]] Result<Allocation> place_in(Arena& arena, const AllocationRequest& asked) const;
  [[nodiscard]] Result<Arena*> add_arena(std::size_t size);
  [[nodiscard]] Allocation driver_allocation(const AllocationRequest& asked) const;
  void remember(const Allocation& allocation);

  const cl_context handle_;
  const std::vector<cl_device_id> devices_;
  const std::vector<cl_device_id> reported_;
  Backend backend_ = Backend::pass;
  std::size_t base_alignment_ = 1;  // of places in buffers that kernels can be given
  std::size_t common_size_ = 0;     // of the buffer that all allocations share; 0: there is none
  std::unique_ptr<DeviceMemory> device_memory_;
  mutable RankedSharedMutex mutex_{LockRank::objects, "opencl allocations"};
  std::map<Address, Allocation> allocations_ SLUICE_GUARDED_BY(mutex_);
  mutable RankedMutex arenas_mutex_{LockRank::objects, "opencl arenas"};
  std::vector<std::unique_ptr<Arena>> arenas_ SLUICE_GUARDED_BY(arenas_mutex_);
  // The last: their threads use the rest.
  JobThread hints_{"sluice-hints"};
  JobThread host_copies_{"sluice-copies"};
};

}  // namespace sluice::opencl
