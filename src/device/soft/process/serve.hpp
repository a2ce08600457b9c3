// The loop that every ring's thread runs.
#pragma once

#include "device/soft/process/device_process.hpp"
#include "device/soft/process/ring_reader.hpp"

namespace sluice::device::soft::process {

// Runs `execute(value, slot, payload) -> Failure` for each command, forever. A list of commands
// that needed several slots ends at its first failure: the fence is the last slot's, so the failure
// is carried to it.
template <typename Execute>
[[noreturn]] void serve(DeviceProcess& device, int ring_index, Execute execute) {
  Ring& ring = device.control->rings[ring_index];
  RingReader reader(ring, device.failures[ring_index], device.longest_spin());
  Failure list;
  for (;;) {
    const std::uint64_t value = reader.next();
    const Slot& slot = ring.slot(value);
    if (!slot.continued) list = {};
    if (!list) list = obey_plan(slot);
    if (!list) list = execute(value, slot, ring.payload(value));
    reader.complete(value, list);
  }
}

}  // namespace sluice::device::soft::process
