// A word in host memory, mapped on a device, on which the kernel "spin" waits: the test decides when it ends.
#pragma once

#include "device/device_rig.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {

class Latch {
 public:
  // Takes block 64 of the host area.
  explicit Latch(Rig& rig)
      : word_(*rig.host.alias<std::uint32_t>(place)), address_(rig.host.at(place)) {
    __atomic_store_n(&word_, 0, __ATOMIC_RELEASE);
    rig.finish(rig.map(place, block_size, rig.on_host(place), Rights::write));
  }
  void open() { __atomic_store_n(&word_, 1, __ATOMIC_RELEASE); }
  [[nodiscard]] sluice_soft_spin arguments() const {
    return {pointer<const std::uint32_t>(address_), 1};
  }

 private:
  static constexpr std::size_t place = 64 * block_size;

  std::uint32_t& word_;
  Address address_;
};

}  // namespace sluice::device::testing
