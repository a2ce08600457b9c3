// The control ring: changes of the page table, in order, on one thread. Completion means that every
// kernel sees them: mmap returns after Linux has flushed the translations of all cores.
#include <algorithm>
#include <thread>

#include "device/soft/process/serve.hpp"

namespace sluice::device::soft::process {
namespace {

Failure apply_parts(DeviceProcess& device, const Slot& slot, const Payload& payload) {
  if (slot.planned == PlannedAction::kill) kill_this_process();
  for (std::size_t i = 0; i < std::min<std::size_t>(slot.count, payload.mappings.size()); ++i) {
    const MappingPart& part = payload.mappings[i];
    if (const int error = device.page_table.apply(part); error != 0) {
      return {FailureKind::mapping, static_cast<std::uint32_t>(error), part.address, 0};
    }
  }
  return {};
}

}  // namespace

void start_mapping_ring(DeviceProcess& device) {
  std::thread([&device] {
    serve(device, control_ring, [&](std::uint64_t, const Slot& slot, const Payload& payload) {
      return apply_parts(device, slot, payload);
    });
  }).detach();
}

}  // namespace sluice::device::soft::process
