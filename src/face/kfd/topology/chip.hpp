// ChipFacts: the numbers that tell user space which GPU it has.
#pragma once

#include <cstdint>

#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {

struct ChipFacts {
  const char* name;
  std::uint32_t device_id;
  std::uint32_t target_version;  // 90010 is gfx9.0.10, written gfx90a
  std::uint32_t family;          // of the DRM driver: AMDGPU_FAMILY_AI
  std::uint32_t compute_units;
  std::uint32_t arrays;
  std::uint32_t units_per_array;
  std::uint32_t waves_per_simd;
  std::uint32_t clock_mhz;
  std::uint32_t memory_clock_mhz;
  std::uint32_t memory_width;
  std::uint32_t l2_kib;
};

[[nodiscard]] constexpr ChipFacts facts_of(Chip chip) noexcept {
  constexpr std::uint32_t vega = 141;
  switch (chip) {
    case Chip::gfx908:
      return {"arcturus", 0x738c, 90008, vega, 120, 8, 16, 10, 1502, 1200, 4096, 8192};
    case Chip::gfx942:
      return {"ip discovery", 0x74a1, 90402, vega, 304, 32, 10, 8, 2100, 1300, 8192, 4096};
    default:
      return {"aldebaran", 0x7408, 90010, vega, 104, 8, 14, 8, 1700, 1600, 4096, 8192};
  }
}

}  // namespace sluice::kfd
