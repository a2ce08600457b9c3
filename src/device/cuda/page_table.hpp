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
#include <atomic>
#include <cstdint>
#include <span>

#include "base/ranked_mutex.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"

namespace sluice::device::cuda {

// A block of a pool: an allocation of the driver.
struct MemoryBlock {
  CUmemGenericAllocationHandle handle = 0;  // 0: not allocated yet
  Address mapped_at{};                      // the page table's note; null: nowhere
  // Where copies reach it: at the pool's address or, if no other device can have that place, at the
  // managed one; 0: it is mapped at neither.
  std::atomic<CUdeviceptr> copied_at{0};
};

// A block of managed addresses and the memory that is to lie there.
struct BlockMapping {
  Address block;
  MemoryBlock* memory = nullptr;  // null: none; the device's right to it ends
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
  // True if several devices map memory here, so that one may have to make way for another.
  [[nodiscard]] bool is_shared() noexcept;

  static constexpr std::size_t most_blocks = 64;
  // At most most_blocks, in any order; those that follow each other share calls. After an error the
  // device has a right to no more of them than before.
  [[nodiscard]] Result<void> update(int device, std::span<const BlockMapping> blocks);
  // Memory that is mapped at an address although no device has a right to it; null: there is none.
  [[nodiscard]] MemoryBlock* idle_at(Address block) noexcept;
  [[nodiscard]] bool is_mapped(Address block) noexcept;
  // Maps memory that no device has a right to yet, where nothing is mapped, and opens it to the
  // device's GPU. A hint: it may do less.
  void lay_idle(int device, std::span<const BlockMapping> blocks) noexcept;
  // The memory goes to another use, so its mapping ends. No device has a right to it.
  void let_go(MemoryBlock& memory) noexcept;
  // Ends all of a device's mappings, and those that no device has a right to.
  void clear(int device) noexcept;

 private:
  struct Entry {
    MemoryBlock* memory;     // mapped there in the driver; null: nothing is
    std::uint64_t devices;   // that have a right to it
    std::uint64_t in_force;  // those whose GPUs have the access set in the driver: 23 us
  };

  [[nodiscard]] Entry& entry_of(Address block) const noexcept {
    return entries_[(block - window_.begin) / block_size];
  }
  // The devices that are on a device's GPU: it, and others that share it.
  [[nodiscard]] std::uint64_t beside(int device) const noexcept;
  [[nodiscard]] Result<void> map(int device, const BlockMapping& wanted) SLUICE_REQUIRES(mutex_);
  // Maps it where nothing is mapped; no GPU may use it yet.
  [[nodiscard]] Result<void> put(const BlockMapping& wanted) SLUICE_REQUIRES(mutex_);
  // Lets the device's GPU read and write what is mapped there.
  [[nodiscard]] Result<void> open_to(int device, AddressSpan span) const;
  // A GPU may use the entry now, and so may copies.
  void note_open(Entry& entry, std::uint64_t devices) const noexcept SLUICE_REQUIRES(mutex_);
  void unmap(Entry& entry) noexcept SLUICE_REQUIRES(mutex_);

  const Driver& driver_;
  const AddressSpan window_;
  bool reserved_ = false;
  RankedMutex mutex_{LockRank::device, "page table"};
  Entry* entries_ = nullptr;  // by block of the window; guarded by mutex_
  std::array<int, max_devices> gpus_{};
  std::uint64_t admitted_ = 0;  // devices with a GPU
};

}  // namespace sluice::device::cuda
