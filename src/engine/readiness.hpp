// BlockReadiness and RangeReadiness: the tracker's own records of a block and of a range.
//
// They stand in the block and the range so that the tracker needs no look-up. Only the tracker
// reads and changes them, under its mutex.
#pragma once

#include <cstdint>

#include "base/device_set.hpp"
#include "engine/by_device.hpp"
#include "engine/uses.hpp"

namespace sluice::engine {

class ReadinessTracker;

// Devices on which a launch may read (write) the whole block at once.
class BlockReadiness {
 private:
  friend class ReadinessTracker;
  DeviceSet to_read_;
  DeviceSet to_write_;
};

class RangeReadiness {
 public:
  explicit RangeReadiness(std::uint32_t blocks) { unready_.fill({blocks, blocks}); }

 private:
  friend class ReadinessTracker;
  // How many of the range's blocks are not ready on one device.
  struct Unready {
    std::uint32_t to_read = 0;
    std::uint32_t to_write = 0;
  };
  ByDevice<Unready> unready_;
  UseList uses_;
  std::uint64_t born_ = 0;  // the number of launches before it
};

}  // namespace sluice::engine
