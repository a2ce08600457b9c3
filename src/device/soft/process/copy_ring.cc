// A copy engine: copies and fills between whole memories, in order, on one thread.
//
// memcpy of the C library: it already picks non-temporal stores for large sizes. Long copies are
// cut into pieces of a block so that the client sees progress and can tell a slow copy from one
// that hangs. A page that Linux cannot supply (SIGBUS: the machine is out of memory) fails that
// copy alone.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/types.hpp"
#include "device/soft/process/fault_in_handler.hpp"
#include "device/soft/process/serve.hpp"

namespace sluice::device::soft::process {
namespace {

void run_part(const DeviceProcess& device, Ring& ring, Operation operation, const CopyPart& part) {
  const auto at = [&](std::uint8_t memory) {
    const bool is_peer = memory < host_memory && memory != device.settings.number;
    return device.memories.at(memory, is_peer ? part.peer_generation : 0);
  };
  std::byte* to = at(part.to_memory) + part.to;
  const std::byte* from = operation == Operation::copy ? at(part.from_memory) + part.from : nullptr;
  for (std::size_t done = 0; done < part.size; done += block_size) {
    const std::size_t size = std::min<std::size_t>(block_size, part.size - done);
    if (operation == Operation::copy)
      std::memcpy(to + done, from + done, size);
    else
      std::memset(to + done, part.fill_value, size);
    ring.progress.fetch_add(1, std::memory_order_relaxed);
  }
}

Failure run_parts(const DeviceProcess& device, Ring& ring, const Slot& slot,
                  const Payload& payload) {
  Escape escape;
  if (sigsetjmp(escape.target, 0) != 0) {
    current_escape = nullptr;
    return {FailureKind::copy, static_cast<std::uint32_t>(escape.signal), escape.address, 0};
  }
  current_escape = &escape;
  for (std::size_t i = 0; i < std::min<std::size_t>(slot.count, payload.copies.size()); ++i) {
    CopyPart part = payload.copies[i];
    // A planned death comes when half of the bytes have arrived.
    if (slot.planned == PlannedAction::kill) part.size /= 2;
    run_part(device, ring, slot.operation, part);
  }
  current_escape = nullptr;
  if (slot.planned == PlannedAction::kill) kill_this_process();
  return {};
}

}  // namespace

void start_copy_ring(DeviceProcess& device, int ring_index) {
  std::thread([&device, ring_index] {
    if (!give_handler_stack()) kill_this_process();
    Ring& ring = device.control->rings[ring_index];
    serve(device, ring_index, [&](std::uint64_t, const Slot& slot, const Payload& payload) {
      return run_parts(device, ring, slot, payload);
    });
  }).detach();
}

}  // namespace sluice::device::soft::process
