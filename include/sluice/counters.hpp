// Counters: totals of a space's activity since it was opened. Always on.
//
// Each is exact once the activity it counts has stopped; together they are not an atomic snapshot.
#pragma once

#include <cstdint>

namespace sluice {

struct Counters {
  std::uint64_t cpu_faults = 0;  // host accesses that had to be answered
  std::uint64_t gpu_faults =
      0;  // device accesses that had to be answered (devices with recoverable faults)
  std::uint64_t fatal_faults = 0;  // device accesses that stopped a queue
  std::uint64_t stuck_accesses =
      0;  // host accesses that waited longer than SpaceOptions::access_timeout
  std::uint64_t launches = 0;
  std::uint64_t prefetches = 0;
  std::uint64_t evicted_blocks = 0;
  std::uint64_t bytes_to_host = 0;     // copied from devices to the host, evictions included
  std::uint64_t bytes_to_devices = 0;  // copied from the host to devices
  std::uint64_t bytes_between_devices = 0;
  std::uint64_t bytes_evicted = 0;
  std::uint64_t bytes_filled = 0;  // zeros written where no location had a copy
  std::uint64_t devices_lost = 0;
  std::uint64_t queue_stops = 0;  // of all queues of one device, so that mapped memory could move
  std::uint64_t relocated_blocks = 0;  // blocks moved by relocation
  std::uint64_t bytes_relocated = 0;
  std::uint64_t borrowed_blocks = 0;  // handed from device to device without moving their bytes
  std::uint64_t undeclared_accesses =
      0;  // pages that kernels touched and their launches do not name (strict mode)

  friend bool operator==(const Counters&, const Counters&) noexcept = default;
};

}  // namespace sluice
