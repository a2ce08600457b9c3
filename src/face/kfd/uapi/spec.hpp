// MachineSpec: the GPUs and the memory that a software machine has.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace sluice::kfd {

enum class Chip : std::uint8_t { gfx908, gfx90a, gfx942 };
enum class Links : std::uint8_t { pcie, xgmi };

inline constexpr int most_gpus = 64;

struct MachineSpec {
  int gpus = 1;
  Chip chip = Chip::gfx90a;
  Links links = Links::xgmi;
  std::uint64_t vram = 0;    // bytes of each GPU; 0: as much as the chip has
  std::uint64_t system = 0;  // free bytes of the host, from which limits follow; 0: this machine's
  bool xnack = false;        // whether processes begin with retry faults, where the chip has them
  bool large_bar = true;     // the host sees all VRAM
};

// "4" or "gpus=4,chip=gfx942,links=pcie,vram=16GiB,system=64GiB,xnack=1,bar=small", in any order.
// invalid_argument names the word that is wrong.
[[nodiscard]] Result<MachineSpec> parse_spec(std::string_view text);

// VRAM of each GPU, from the specification or the chip.
[[nodiscard]] std::uint64_t vram_of(const MachineSpec& spec) noexcept;

// The id of a GPU, as topology and ioctls name it. Never 0.
[[nodiscard]] constexpr std::uint32_t gpu_id_of(int gpu) noexcept {
  return 0x1001U + static_cast<std::uint32_t>(gpu) * 0x35U;
}
// The GPU of an id; -1: none has it.
[[nodiscard]] int gpu_of_id(std::uint32_t id, int gpus) noexcept;

}  // namespace sluice::kfd
