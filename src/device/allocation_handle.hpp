// The contents of Allocation::handle: the generation of the memory, and the pages.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.hpp"

namespace sluice::device {

struct AllocationHandle {
  std::uint32_t generation = 0;  // 16 bits of it are kept
  std::size_t offset = 0;        // bytes, below 16 TiB
  std::size_t size = 0;          // bytes, up to a block

  static AllocationHandle of(std::uint64_t packed) noexcept {
    return {static_cast<std::uint32_t>(packed >> 48), (packed & 0xffff'ffff) * page_size,
            (packed >> 32 & 0xffff) * page_size};
  }
  [[nodiscard]] std::uint64_t packed() const noexcept {
    return std::uint64_t{generation & 0xffff} << 48 | size / page_size << 32 | offset / page_size;
  }
};

}  // namespace sluice::device
