// PageTable: the device memory mapped at each managed address, as the driver has it.
//
// On CUDA one address means one place in memory in the whole process: all GPUs share the mapping
// and differ only in their right to use it. So a block is mapped for one owner at a time, and for
// others only as that same memory (peer mapping).
//
// Cost, measured on an H200: mapping a block 1 us and 23 us for the right to use it, taking it down
// 16 us; none of it waits for running kernels.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/ranked_mutex.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

// A block of managed addresses and the memory that is to lie there.
struct BlockMapping {
  Address block;
  CUmemGenericAllocationHandle memory = 0;  // 0: none; the device's mapping ends
};

// Thread-safe. Callers have a context current.
class PageTable {
 public:
  PageTable(const Driver& driver, AddressSpan window) noexcept : driver_(driver), window_(window) {}
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  ~PageTable();
  // Takes the window's addresses over for the driver.
  [[nodiscard]] Result<void> start();

  // Records the GPU of a device, before it maps anything.
  void admit(int device, int gpu) noexcept;

  static constexpr std::size_t most_blocks = 64;
  // At most most_blocks, in any order; those that follow each other share calls. After an error
  // those that the device had not mapped before are unmapped.
  [[nodiscard]] Result<void> update(int device, std::span<const BlockMapping> blocks);
  // Ends all of a device's mappings.
  void clear(int device) noexcept;

 private:
  struct Entry {
    CUmemGenericAllocationHandle memory;
    std::uint64_t devices;   // that have it mapped
    std::uint64_t in_force;  // those whose GPUs have the access set in the driver: 23 us
  };

  [[nodiscard]] Entry& entry_of(Address block) const noexcept {
    return entries_[(block - window_.begin) / block_size];
  }
  // The devices that are on a device's GPU: it, and others that share it.
  [[nodiscard]] std::uint64_t beside(int device) const noexcept;
  [[nodiscard]] Result<void> map(int device, const BlockMapping& wanted) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Result<void> set_access(Address begin, std::size_t size, int device,
                                        int access) const;
  void unmap(int device, std::span<const BlockMapping> blocks) SLUICE_REQUIRES(mutex_);

  const Driver& driver_;
  const AddressSpan window_;
  bool reserved_ = false;
  RankedMutex mutex_{LockRank::device, "page table"};
  Entry* entries_ = nullptr;  // by block of the window; guarded by mutex_
  std::array<int, max_devices> gpus_{};
  std::uint64_t admitted_ = 0;  // devices with a GPU
};

}  // namespace sluice::device::cuda
