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
#include "base/rights.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

// A block of managed addresses and the memory that is to lie there.
struct BlockMapping {
  Address block;
  CUmemGenericAllocationHandle memory = 0;  // 0: none; the device's mapping ends
  Rights rights = Rights::none;
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
  void admit(int device, int gpu) noexcept { gpus_[static_cast<std::size_t>(device)] = gpu; }

  // Blocks in any order; those that follow each other share calls. After an error those of the list
  // are unmapped.
  [[nodiscard]] Result<void> update(int device, std::span<const BlockMapping> blocks);
  // Ends all of a device's mappings.
  void clear(int device) noexcept;

 private:
  struct Entry {
    CUmemGenericAllocationHandle memory;
    std::uint64_t readers;  // devices, writers among them
    std::uint64_t writers;
    std::uint64_t in_force;  // devices with rights set in the driver, which takes 23 us
  };

  [[nodiscard]] Entry& entry_of(Address block) const noexcept {
    return entries_[(block - window_.begin) / block_size];
  }
  [[nodiscard]] int access_of(const Entry& entry, int gpu) const noexcept;
  [[nodiscard]] Result<void> map(int device, const BlockMapping& wanted) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Result<void> set_access(Address begin, std::size_t size, int gpu, int access) const;
  void unmap(int device, std::span<const BlockMapping> blocks) SLUICE_REQUIRES(mutex_);

  const Driver& driver_;
  const AddressSpan window_;
  bool reserved_ = false;
  RankedMutex mutex_{LockRank::device, "page table"};
  Entry* entries_ = nullptr;  // by block of the window; guarded by mutex_
  std::array<int, max_devices> gpus_{};
};

}  // namespace sluice::device::cuda
