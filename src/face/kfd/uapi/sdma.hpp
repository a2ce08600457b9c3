// The packets of an SDMA queue of gfx9, one at a time.
//
// NOP, COPY (linear, also to two places), WRITE, FENCE, TRAP, POLL_REGMEM, ATOMIC (add), CONST_FILL
// and TIMESTAMP: what AMD's runtime puts there for copies and fills. Counts are minus 1, in 30
// bits, as on gfx90a.
#pragma once

#include <cstdint>
#include <span>

#include "face/kfd/uapi/gpu_memory.hpp"

namespace sluice::kfd {

enum class PacketOutcome : std::uint8_t {
  done,
  waits,       // a poll that does not hold yet: to be tried again
  incomplete,  // the rest of the packet is not there
  fault,       // GpuMemory::fault() says where
  unknown      // no such packet, or one that is not served
};

struct PacketResult {
  PacketOutcome outcome = PacketOutcome::done;
  std::uint32_t words = 0;  // that the packet has; of unknown ones 0
  bool interrupts = false;  // with this context
  std::uint32_t context = 0;
};

// `words` begins with the packet. `ticks`: the GPU's clock.
[[nodiscard]] PacketResult run_sdma_packet(std::span<const std::uint32_t> words, GpuMemory& memory,
                                           std::uint64_t ticks);

// The most words of a packet that are looked at together; longer ones are unknown.
inline constexpr std::uint32_t longest_sdma_packet = 4 + 4096;

}  // namespace sluice::kfd
