// A kernel queue: launches in order, on one thread.
//
// A launch first waits for its dependencies; one that failed fails the launch, because its data did
// not arrive. A fault leaves the kernel and stops the queue: every later launch fails until the
// client closes the queue, which also makes it ready for the next owner. The other queues never
// notice.
//
// While the client has stopped the queues, a launch waits right before its kernel. That costs every
// launch two ordered stores.
//
// Where launches are limited to their grants (strict mode), they run one after another,
// whatever their queues: the page table is one for all. The grants come as commands of their own
// before the launch.
//
// What it does not do: split a launch over several threads (the kernel ABI allows it), or preempt a
// kernel that does not end.
#include <algorithm>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "device/soft/process/fault_in_handler.hpp"
#include "device/soft/process/serve.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft::process {
namespace {

Failure await_dependencies(DeviceProcess& device, Ring& ring, std::uint64_t value, const Slot& slot,
                           const LaunchPart& launch) {
  const std::size_t count = std::min<std::size_t>(slot.count, launch.dependencies.size());
  if (count == 0) return {};
  ring.running.store(value | Ring::waits, std::memory_order_relaxed);  // that is no hang
  Spin spin(device.longest_spin());
  for (std::size_t i = 0; i < count; ++i) {
    const Dependency dependency = launch.dependencies[i];
    const std::uint32_t timeline = dependency.timeline();
    if (timeline >= ring_count) continue;
    Ring& other = device.control->rings[timeline];
    await(other, dependency.value(), spin);
    if ((other.completed.load(std::memory_order_acquire) & Ring::any_failed) == 0) continue;
    if (device.failures[timeline].find(dependency.value())) {
      return {FailureKind::dependency, timeline, dependency.value(), 0};
    }
  }
  ring.running.store(value, std::memory_order_relaxed);
  return {};
}

void leave_kernel(ControlArea& control, Ring& ring) {
  ring.in_kernel.store(0);
  if (control.stopping.load() == 0) return;
  control.rested.fetch_add(1);
  os::futex_wake_all(control.rested);
}

Failure stop_queue(DeviceProcess& device, Ring& ring, std::uint64_t value, const Slot& slot,
                   const Escape& escape) {
  ring.stop_address.store(escape.address, std::memory_order_relaxed);
  ring.stop_access.store(static_cast<std::uint32_t>(escape.access), std::memory_order_relaxed);
  ring.stop_kernel.store(slot.kernel, std::memory_order_relaxed);
  ring.stopped_by.store(value, std::memory_order_release);
  device.control->events.fetch_add(1);
  os::futex_wake_all(device.control->events);
  return {FailureKind::fault, static_cast<std::uint32_t>(escape.access), escape.address,
          slot.kernel};
}

Failure run_kernel(DeviceProcess& device, int ring_index, std::uint64_t value, const Slot& slot,
                   const LaunchPart& launch) {
  Ring& ring = device.control->rings[ring_index];
  sluice_soft_work work{};
  work.items = work.end = slot.items;
  work.argument_size = slot.argument_size;
  work.device = static_cast<std::uint16_t>(device.settings.number);
  work.queue = static_cast<std::uint16_t>(ring_index - first_kernel_ring);

  Escape escape;
  escape.kernel_ring = ring_index;
  escape.limited = slot.limited;
  if (sigsetjmp(escape.target, 0) != 0) {
    current_escape = nullptr;
    return stop_queue(device, ring, value, slot, escape);
  }
  current_escape = &escape;
  device.kernels.at(slot.kernel)(&work, launch.arguments.data());
  current_escape = nullptr;
  return {};
}

// A kernel begins only while queues are not stopped. Says so, then looks: control_area.hpp has the
// other side.
void enter_kernel(ControlArea& control, Ring& ring, std::uint64_t value) {
  for (;;) {
    ring.in_kernel.store(1);
    const std::uint32_t stopping = control.stopping.load();
    if (stopping == 0) return;
    leave_kernel(control, ring);
    ring.running.store(value | Ring::waits, std::memory_order_relaxed);  // that is no hang
    os::futex_wait(control.stopping, stopping, std::chrono::steady_clock::time_point::max());
    ring.running.store(value, std::memory_order_relaxed);
  }
}

// Waits until no other kernel of the device runs, and limits the page table to what this launch was
// granted.
std::unique_lock<std::mutex> take_turn(DeviceProcess& device, Ring& ring, std::uint64_t value,
                                       const Slot& slot, std::span<const GrantPart> grants) {
  if (device.settings.limits_launches == 0) return {};
  ring.running.store(value | Ring::waits, std::memory_order_relaxed);  // that is no hang
  std::unique_lock turn(device.turn);
  ring.running.store(value, std::memory_order_relaxed);
  if (slot.limited)
    device.page_table.limit(grants);
  else
    device.page_table.end_limits();
  return turn;
}

Failure execute(DeviceProcess& device, int ring_index, std::uint64_t value, const Slot& slot,
                const Payload& payload, std::vector<GrantPart>& grants) {
  Ring& ring = device.control->rings[ring_index];
  if (slot.operation == Operation::grant) {
    grants.insert(grants.end(), payload.grants.begin(),
                  payload.grants.begin() + std::min<std::size_t>(slot.count, grants_per_slot));
    return {};
  }
  const std::vector<GrantPart> granted = std::exchange(grants, {});
  if (slot.operation == Operation::close) return {};
  if (ring.stopped_by.load(std::memory_order_relaxed) != 0) {
    return {FailureKind::stopped, 0, ring.stop_address.load(std::memory_order_relaxed), 0};
  }
  if (slot.planned == PlannedAction::kill) kill_this_process();
  if (const Failure failure = await_dependencies(device, ring, value, slot, payload.launch))
    return failure;
  const auto turn = take_turn(device, ring, value, slot, granted);
  enter_kernel(*device.control, ring, value);
  const Failure failure = run_kernel(device, ring_index, value, slot, payload.launch);
  leave_kernel(*device.control, ring);
  return failure;
}

}  // namespace

void start_kernel_ring(DeviceProcess& device, int ring_index) {
  std::thread([&device, ring_index] {
    if (!give_handler_stack()) kill_this_process();
    std::vector<GrantPart> grants;  // of the launch that comes next
    serve(device, ring_index, [&](std::uint64_t value, const Slot& slot, const Payload& payload) {
      return execute(device, ring_index, value, slot, payload, grants);
    });
  }).detach();
}

}  // namespace sluice::device::soft::process
