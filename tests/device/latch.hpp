// A word mapped on a device, on which the kernel "spin" waits: the test decides when it ends.
#pragma once

#include "device/device_rig.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {

class Latch {
 public:
  // Takes block 64 of the host area.
  explicit Latch(Rig& rig) : rig_(rig) {
    rig.map_memory(place);
    rig.store_word(place, 0);
  }
  void open() { rig_.store_word(place, 1); }
  [[nodiscard]] sluice_soft_spin arguments() const {
    return {pointer<const std::uint32_t>(rig_.host.at(place)), 1};
  }

 private:
  static constexpr std::size_t place = 64 * block_size;

  Rig& rig_;
};

}  // namespace sluice::device::testing
