// Memories: the memory files that this device can copy between, each mapped as a whole.
//
// Its own memory and the host's are there from the start; a peer's is added when the client first
// copies from or to it. Copy engines use these mappings and never the managed addresses: a copy is
// independent of what kernels may reach.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "device/soft/control_area.hpp"

namespace sluice::device::soft::process {

class Memories {
 public:
  // Maps `size` bytes of `file`. Replaces what was there under that name. False with errno set. One
  // thread.
  [[nodiscard]] bool add(std::uint8_t memory, int file, std::size_t size,
                         std::uint32_t generation) noexcept;

  // The mapping of a memory. Waits for one that the client has sent but that is not here yet; a
  // peer that was reset has a new memory, which `generation` tells from the old one.
  [[nodiscard]] std::byte* at(std::uint8_t memory, std::uint32_t generation) const noexcept;
  // The file of a memory, for mapping parts of it. Waits likewise.
  [[nodiscard]] int file(std::uint8_t memory, std::uint32_t generation) const noexcept {
    static_cast<void>(at(memory, generation));
    return entries_[memory].file.load(std::memory_order_acquire);
  }

 private:
  struct Entry {
    std::atomic<std::byte*> bytes{nullptr};
    std::atomic<std::uint32_t> generation{0};
    std::atomic<int> file{-1};
  };
  std::array<Entry, memory_count> entries_;
  std::atomic<std::uint32_t> additions_{0};  // futex: a peer's memory has come
};

}  // namespace sluice::device::soft::process
