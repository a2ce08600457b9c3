// Physical memory of the stand-in driver's GPUs, and the table that leads from addresses to it.
//
// A GPU reaches memory only through this table, as a real one does: the host may have something
// else at the same address. An address that is not in it, or without the right for this GPU, is an
// AccessFault, which ends the context with CUDA_ERROR_ILLEGAL_ADDRESS.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "device/cuda/driver.hpp"

namespace sluice::fake_cuda {

using device::cuda::CUdeviceptr;

constexpr int most_gpus = 16;
constexpr std::size_t granularity = std::size_t{2} << 20;  // of addresses and allocations
// CU_MEM_ACCESS_FLAGS_PROT_*
constexpr int access_none = 0;
constexpr int access_read_write = 3;

// Bytes that a GPU can use. They are there until the last user is gone, a running kernel included,
// so the stand-in itself never touches memory that was given back.
class Memory {
 public:
  // `gpu`: whose memory it is; -1: the host's. Null: there is no more. The bytes are not zeros.
  [[nodiscard]] static std::shared_ptr<Memory> make(int gpu, std::size_t size);
  // The host's bytes at an address, which the program may map elsewhere or protect meanwhile.
  [[nodiscard]] static std::shared_ptr<Memory> of_host(void* address, std::size_t size);
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] int gpu() const noexcept { return gpu_; }
  [[nodiscard]] static std::size_t in_use(int gpu) noexcept;

 private:
  Memory(std::byte* bytes, std::size_t size, int gpu, bool is_own)
      : bytes_(bytes), size_(size), gpu_(gpu), is_own_(is_own) {}

  std::byte* const bytes_;
  const std::size_t size_;
  const int gpu_;
  const bool is_own_;  // of this object, not the program's
};

enum class Source : std::uint8_t {
  mapped,      // cuMemMap
  allocated,   // cuMemAlloc
  registered,  // cuMemHostRegister
  pinned,      // cuMemHostAlloc
  managed,     // cuMemAllocManaged
};

struct Mapping {
  CUdeviceptr begin = 0;
  std::size_t size = 0;
  Source source = Source::mapped;
  std::shared_ptr<Memory> memory;
  const void* context = nullptr;  // whose end is its own; null: none, of the process
  unsigned flags = 0;             // of the call that made it
  std::uint64_t number = 0;       // CU_POINTER_ATTRIBUTE_BUFFER_ID
  std::array<std::atomic<int>, most_gpus> access{};  // CU_MEM_ACCESS_FLAGS_PROT_*

  std::atomic<bool> is_gone{false};  // taken out of the table
  std::atomic<int> gaps{0};          // moments without a right

  [[nodiscard]] CUdeviceptr end() const noexcept { return begin + size; }
  void give_access_to_all() noexcept {
    for (std::atomic<int>& each : access) each = access_read_write;
  }
};
using MappingPointer = std::shared_ptr<Mapping>;

struct AccessFault {
  CUdeviceptr address;
  bool is_write;
};

// One for the process: an address means the same on all GPUs. Thread-safe.
class AddressTable {
 public:
  [[nodiscard]] static AddressTable& get();

  // False: something of it is mapped already.
  [[nodiscard]] bool add(const MappingPointer& mapping);
  [[nodiscard]] MappingPointer at(CUdeviceptr address) const;
  // The first one that touches the span; null: none.
  [[nodiscard]] MappingPointer first_in(CUdeviceptr begin, std::size_t size) const;
  // True: the span consists of whole mappings of this kind without gaps.
  [[nodiscard]] bool is_whole(CUdeviceptr begin, std::size_t size, Source source) const;
  // Removes all mappings that begin in the span. `entry` is remembered for describe().
  void remove(CUdeviceptr begin, std::size_t size, const char* entry);
  // All that a context made and did not give back.
  void remove_all_of(const void* context);
  // After each change of a right or a mapping, readers look again.
  void change() noexcept { generation_.fetch_add(1, std::memory_order_release); }
  [[nodiscard]] std::uint64_t generation() const noexcept {
    return generation_.load(std::memory_order_acquire);
  }
  // What is, and what was, at an address.
  [[nodiscard]] std::string describe(CUdeviceptr address) const;

  // Addresses that programs reserve. False: not as it was asked.
  [[nodiscard]] bool reserve(CUdeviceptr* begin, std::size_t size, CUdeviceptr hint);
  [[nodiscard]] bool release(CUdeviceptr begin, std::size_t size);
  [[nodiscard]] bool is_reserved(CUdeviceptr begin, std::size_t size) const;

 private:
  struct Removal {
    CUdeviceptr begin;
    std::size_t size;
    const char* entry;
    int thread;
    std::int64_t time;  // ns
  };
  static constexpr std::size_t most_removals = 65536;

  mutable std::shared_mutex mutex_;
  std::map<CUdeviceptr, MappingPointer> mappings_;
  std::map<CUdeviceptr, std::size_t> reservations_;
  std::deque<Removal> removals_;
  std::uint64_t last_number_ = 0;
  std::atomic<std::uint64_t> generation_{1};
};

}  // namespace sluice::fake_cuda
