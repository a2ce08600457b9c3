// GpuMemory: addresses of one process as a GPU sees them: what is mapped on it, page by page, and
// ranges of the process's own memory that it has access to (SvmAttributes).
//
// A buffer's bytes lie in a render file, or are the process's own memory (userptr). An address at
// which nothing is mapped on this GPU is a VM fault, also if another GPU or the host has memory
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "face/kfd/uapi/memory.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

class GpuMemory {
 public:
  GpuMemory(Memory& memory, Surroundings& surroundings, int gpu)
      : memory_(memory), surroundings_(surroundings), gpu_(gpu) {}

  // False: a fault. Some of the bytes may have moved.
  [[nodiscard]] bool read(std::uint64_t address, std::span<std::byte> to);
  [[nodiscard]] bool write(std::uint64_t address, std::span<const std::byte> from);
  [[nodiscard]] bool copy(std::uint64_t to, std::uint64_t from, std::uint64_t size);

  // A word that others may look at meanwhile; null: a fault, or the address is no multiple of its
  // size. It stays there until the next call.
  template <typename T>
  [[nodiscard]] T* word(std::uint64_t address) {
    return reinterpret_cast<T*>(word_bytes(address, sizeof(T)));
  }

  // Of the last fault.
  [[nodiscard]] std::uint64_t fault() const noexcept { return fault_; }

 private:
  // Some bytes in a row; `bytes` is null for the process's own memory.
  struct Extent {
    std::byte* bytes = nullptr;
    std::uint64_t user_address = 0;
    std::uint64_t size = 0;
  };
  // Of size 0 after a fault.
  [[nodiscard]] Extent extent(std::uint64_t address, std::uint64_t size, bool writes);
  [[nodiscard]] std::byte* word_bytes(std::uint64_t address, std::size_t size);
  [[nodiscard]] bool note_fault(std::uint64_t address) noexcept;

  Memory& memory_;
  Surroundings& surroundings_;
  int gpu_;
  std::uint64_t fault_ = 0;
};

}  // namespace sluice::kfd
