// The accounting of limits.hpp.
#include "face/kfd/uapi/limits.hpp"

#include <algorithm>

#include "face/kfd/uapi/abi.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t chunk = std::uint64_t{2} << 20;
// The least that the kernel keeps for page tables (AMDGPU_VM_RESERVED_VRAM).
constexpr std::uint64_t least_for_tables = std::uint64_t{8} << 20;

std::uint64_t in_chunks(std::uint64_t size) noexcept { return (size + chunk - 1) / chunk * chunk; }

bool fits(std::uint64_t used, std::uint64_t more, std::uint64_t limit) noexcept {
  return used <= limit && more <= limit - used;
}

}  // namespace

Limits::Limits(const MachineSpec& spec, std::uint64_t system)
    : system_limit_(system - system / 16),
      gtt_limit_(system / 2 - system / 8),
      used_(static_cast<std::size_t>(spec.gpus)) {
  // ESTIMATE_PT_SIZE of all memory that any GPU may map.
  const std::uint64_t vram = vram_of(spec);
  const std::uint64_t all = system + vram * static_cast<std::uint64_t>(spec.gpus);
  vram_limit_ = vram - std::min(vram, std::max(all >> 14, least_for_tables));
}

bool Limits::charge(int gpu, std::uint64_t size, std::uint32_t flags) noexcept {
  Account& used = used_[static_cast<std::size_t>(gpu)];
  if ((flags & abi::memory::gtt) != 0) {
    if (!fits(system_used_, size, system_limit_) || !fits(gtt_used_, size, gtt_limit_))
      return false;
    system_used_ += size;
    gtt_used_ += size;
  } else if ((flags & abi::memory::vram) != 0) {
    if (!fits(used.vram, size, vram_limit_)) return false;
    used.vram += size;
    used.vram_in_chunks += in_chunks(size);
  } else if ((flags & abi::memory::userptr) != 0) {
    if (!fits(system_used_, size, system_limit_)) return false;
    system_used_ += size;
  } else {
    return (flags & (abi::memory::doorbell | abi::memory::mmio_remap)) != 0;
  }
  return true;
}

void Limits::uncharge(int gpu, std::uint64_t size, std::uint32_t flags) noexcept {
  Account& used = used_[static_cast<std::size_t>(gpu)];
  if ((flags & abi::memory::gtt) != 0) {
    system_used_ -= size;
    gtt_used_ -= size;
  } else if ((flags & abi::memory::vram) != 0) {
    used.vram -= size;
    used.vram_in_chunks -= in_chunks(size);
  } else if ((flags & abi::memory::userptr) != 0) {
    system_used_ -= size;
  }
}

std::uint64_t Limits::available(int gpu) const noexcept {
  const std::uint64_t used = used_of(gpu).vram_in_chunks;
  return used >= vram_limit_ ? 0 : (vram_limit_ - used) / chunk * chunk;
}

}  // namespace sluice::kfd
