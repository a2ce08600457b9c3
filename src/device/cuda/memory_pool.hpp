// MemoryPool: memory that a GPU uses as its own, divided into allocations: the GPU's memory, or
// host memory that it reaches.
//
// Each block of the pool is one allocation of the driver, because only whole allocations can be
// mapped at managed addresses. It is made when an allocation first needs it, kept for the next one,
// and also lies at an address of the pool, through which copies go whether or not the allocation is
// mapped elsewhere. That address is open to all GPUs of the space, so a copy between two of them
// needs no mapping first. Cost, measured on an H200: 32 us for a block that was never used, well
// under a microsecond afterwards.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "device/allocation_handle.hpp"
#include "device/buddy.hpp"
#include "device/cuda/driver.hpp"
#include "device/cuda/page_table.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

// Thread-safe. Callers have a context current.
class MemoryPool {
 public:
  // `from`: location_device and the GPU, or location_host_numa and the node. `gpus`: the GPUs that
  // may use it.
  MemoryPool(const Driver& driver, PageTable& page_table, CUmemLocation from,
             const std::vector<int>& gpus, std::size_t size);
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool();
  [[nodiscard]] Result<void> start();

  // The offset of an allocation. out_of_device_memory when the pool is full, or the driver has no
  // more.
  [[nodiscard]] Result<std::size_t> allocate(std::size_t size);
  // The free memory that is still mapped at the block of managed addresses, or else any.
  [[nodiscard]] Result<std::size_t> allocate_for(Address block, std::size_t size);
  // Maps free memory at managed addresses, whole blocks, at most PageTable::most_blocks, for
  // allocate_for() to find. Leaves out those where something is mapped, and takes no memory beyond
  // half of the pool.
  void lay_ready(AddressSpan blocks, int device) noexcept;
  // Of a live allocation.
  void release(std::size_t offset, std::size_t size) noexcept;
  [[nodiscard]] bool holds(std::size_t offset) const noexcept;
  [[nodiscard]] std::size_t in_use() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // All allocations are gone, and nothing of them is mapped; the driver's allocations stay.
  void clear();

  // Makes sure that copies reach a byte of a live allocation, and keeps it so.
  [[nodiscard]] Result<void> reach(std::size_t offset);
  // Where they do, and its block. Only for bytes reached, and live ones.
  [[nodiscard]] CUdeviceptr address_of(std::size_t offset) const noexcept {
    return blocks_[offset / block_size].copied_at.load(std::memory_order_acquire) +
           offset % block_size;
  }
  [[nodiscard]] MemoryBlock& block_of(std::size_t offset) noexcept {
    return blocks_[offset / block_size];
  }

 private:
  [[nodiscard]] Result<std::size_t> cut(std::size_t size);
  // A block that was never used, while there are few more than needed. Nothing: any other will do.
  [[nodiscard]] std::optional<std::size_t> cut_new_block() SLUICE_REQUIRES(mutex_);
  // Call for the block of an allocation.
  [[nodiscard]] Result<void> make_ready(std::size_t block) SLUICE_REQUIRES(mutex_);
  // Makes the memory of a block, and of a few behind it.
  [[nodiscard]] Result<void> back(std::size_t block) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Result<void> create(std::size_t block) SLUICE_REQUIRES(mutex_);
  // Maps blocks that are mapped at no address of the pool yet.
  [[nodiscard]] Result<void> map(std::size_t first, std::size_t end) SLUICE_REQUIRES(mutex_);
  void note_fullest() noexcept SLUICE_REQUIRES(mutex_);
  void give_back(std::size_t block) noexcept;

  const Driver& driver_;
  PageTable& page_table_;
  const CUmemLocation from_;
  std::vector<CUmemAccessDesc> users_;  // the GPUs that may use it
  const std::size_t size_;
  CUdeviceptr base_ = 0;
  mutable RankedMutex mutex_{LockRank::device, "memory pool"};
  Buddy buddy_ SLUICE_GUARDED_BY(mutex_);
  // Their handles are written under the mutex, before the first allocation there is handed out.
  std::vector<MemoryBlock> blocks_;
  // The lowest free place is taken first, so the blocks that were ever used, and those that have
  // memory, are the first ones.
  std::size_t used_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::size_t backed_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::size_t fullest_ SLUICE_GUARDED_BY(mutex_) = 0;    // bytes, at its fullest moment
  std::size_t held_back_ SLUICE_GUARDED_BY(mutex_) = 0;  // bytes that lay_ready() has for a moment
  std::uint64_t clears_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::device::cuda
