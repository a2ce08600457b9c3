// KernelTable: the kernels found so far. Launches name them by index.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "device/soft/control_area.hpp"
#include "sluice/soft_kernel.h"

namespace sluice::device::soft::process {

class KernelTable {
 public:
  static constexpr std::uint32_t capacity = max_kernels;

  // Loads `module` and finds `name` in it. The same kernel has one index. On failure the
  // error says why. One thread at a time.
  [[nodiscard]] std::optional<std::uint32_t> find(const std::string& module,
                                                  const std::string& name, std::string& error);

  // The kernel with that index, which find() has given out; null for any other. Any thread.
  [[nodiscard]] sluice_soft_kernel* at(std::uint32_t index) const noexcept {
    return index < capacity ? kernels_[index].load(std::memory_order_acquire) : nullptr;
  }

 private:
  std::array<std::atomic<sluice_soft_kernel*>, capacity> kernels_{};
  std::uint32_t count_ = 0;
};

}  // namespace sluice::device::soft::process
