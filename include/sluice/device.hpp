// DeviceInfo: a device's properties and memory use. A snapshot; Space::device() takes a new one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice {

struct DeviceInfo {
  int number = -1;  // 0..Space::device_count() - 1
  std::string name;
  std::size_t memory_size = 0;     // bytes
  std::size_t budget = 0;          // bytes of it that ranges may take
  std::size_t in_use = 0;          // bytes of it that ranges take now
  std::size_t argument_limit = 0;  // bytes of arguments that one launch can carry
  int copy_engines = 0;
  // Page faults of its kernels are answered: launches need not name the memory they touch.
  bool recoverable_faults = false;
  // Kernels can use Kind::host ranges, and shared data left in host memory.
  bool maps_host_memory = false;
  bool copies_from_peers = false;  // copies from another device do not pass through host memory
  // Atomic operations by its kernels and by the host on one word of a Kind::host range are atomic
  // with respect to each other. Where they are not, as on PCIe cards, concurrent additions by both
  // sides lose updates.
  bool native_atomics = false;
  // Memory that a launch named for reading only is protected: a store to it is an access fault.
  // Where it is not, nothing notices the store, and the bytes are undefined from then on.
  bool read_only_mappings = false;
  bool lost = false;  // until Space::reset_device()
  // How often all its queues were stopped so that mapped memory could move, for how long in total,
  // and the least time that they run between two such stops (SpaceOptions::stop_interval).
  std::uint64_t queue_stops = 0;
  std::chrono::nanoseconds stopped_for{0};
  std::chrono::milliseconds stop_interval{0};
};

}  // namespace sluice
