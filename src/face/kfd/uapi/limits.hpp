// Limits: how much memory all processes together may have, as the kernel accounts it.
//
// Linux 6.1, amdgpu_amdkfd_gpuvm.c: amdgpu_amdkfd_gpuvm_init_mem_limits,
// amdgpu_amdkfd_reserve_mem_limit, amdgpu_amdkfd_unreserve_mem_limit,
// amdgpu_amdkfd_get_available_memory. Sizes are counted as they were asked for; only the answer to
// "how much is available" counts each buffer as whole 2 MiB.
#pragma once

#include <cstdint>
#include <vector>

#include "face/kfd/uapi/spec.hpp"

namespace sluice::kfd {

class Limits {
 public:
  // `system`: free bytes of the host.
  Limits(const MachineSpec& spec, std::uint64_t system);

  // False: it would pass a limit, or the flags name no kind of memory.
  [[nodiscard]] bool charge(int gpu, std::uint64_t size, std::uint32_t flags) noexcept;
  void uncharge(int gpu, std::uint64_t size, std::uint32_t flags) noexcept;

  // Of the GPU's memory, in whole 2 MiB.
  [[nodiscard]] std::uint64_t available(int gpu) const noexcept;

  [[nodiscard]] std::uint64_t system_limit() const noexcept { return system_limit_; }
  [[nodiscard]] std::uint64_t gtt_limit() const noexcept { return gtt_limit_; }
  [[nodiscard]] std::uint64_t vram_limit() const noexcept { return vram_limit_; }
  [[nodiscard]] std::uint64_t system_used() const noexcept { return system_used_; }
  [[nodiscard]] std::uint64_t gtt_used() const noexcept { return gtt_used_; }
  [[nodiscard]] std::uint64_t vram_used(int gpu) const noexcept { return used_of(gpu).vram; }

 private:
  struct Account {
    std::uint64_t vram = 0;
    std::uint64_t vram_in_chunks = 0;
  };
  [[nodiscard]] const Account& used_of(int gpu) const noexcept {
    return used_[static_cast<std::size_t>(gpu)];
  }

  std::uint64_t system_limit_;
  std::uint64_t gtt_limit_;
  std::uint64_t vram_limit_;  // less what page tables may need
  std::uint64_t system_used_ = 0;
  std::uint64_t gtt_used_ = 0;
  std::vector<Account> used_;
};

}  // namespace sluice::kfd
