// Queues, kernels, launches and fences.
//
// A launch costs about 0.1 us while its queue is awake: a lock, the arguments copied twice (first
// into a buffer, because an access fault on their memory may need this very ring), one slot filled.
// Its dependencies travel with it and are waited for on the device.
//
// A queue that a fault has stopped refuses launches with that fault until it is destroyed.
// Destroying lets commands that were handed over run out; the queue's ring is given out again after
// that.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "device/soft/client.hpp"
#include "os/errors.hpp"

namespace sluice::device::soft {

namespace {

std::size_t grant_lists(const LaunchCommand& command) noexcept {
  return command.granted ? (command.granted->size() + grants_per_slot - 1) / grants_per_slot : 0;
}

void fill_grants(Slot& slot, Payload& payload, std::span<const NamedMemory> granted,
                 std::size_t list) noexcept {
  const auto mine = granted.subspan(list * grants_per_slot);
  const std::size_t count = std::min(mine.size(), grants_per_slot);
  slot.operation = Operation::grant;
  slot.count = static_cast<std::uint16_t>(count);
  for (std::size_t i = 0; i < count; ++i)
    payload.grants[i] = {mine[i].span.begin.value, mine[i].span.size,
                         static_cast<std::uint64_t>(rights_for(mine[i].access))};
}

}  // namespace

Result<QueueId> SoftDevice::create_queue() {
  if (!usable()) return lost_error();
  if (inject_fault(Step::queue))
    return fail(ErrorCode::system, "device %d: creating a queue failed as planned",
                options_.number);
  int chosen = -1;
  bool started = false;
  std::shared_ptr<Child> process;
  {
    const MutexLock lock(tables_mutex_);
    for (int queue = 0; queue < max_kernel_queues && chosen < 0; ++queue) {
      QueueState& state = queues_[queue];
      if (state.open ||
          rings_[first_kernel_ring + queue].poll(state.closing) == FenceState::pending)
        continue;
      chosen = queue;
      started = std::exchange(state.started, true);
      state.starting = !started;
      state.open = true;
    }
    process = child_;
  }
  if (chosen < 0)
    return fail(ErrorCode::busy, "device %d: all %d queues are in use", options_.number,
                max_kernel_queues);
  if (!started) {
    Result<void> start = process->start_queue(first_kernel_ring + chosen, options_.hang_timeout);
    const MutexLock lock(tables_mutex_);
    if (start && child_ != process)
      start = fail(ErrorCode::device_lost, "device %d: it was reset while a queue was created",
                   options_.number);
    QueueState& state = queues_[chosen];
    state.starting = false;
    state.open = state.started = start.has_value();
    if (!start) return tl::unexpected(start.error());
  }
  // A queue that was stopped stays so until it is another one.
  const int ring = first_kernel_ring + chosen;
  await_stop_told(ring, Clock::time_point::max());
  control_->rings[ring].stopped_by.store(0, std::memory_order_release);
  return QueueId{static_cast<std::uint16_t>(chosen)};
}

void SoftDevice::destroy_queue(QueueId queue) noexcept {
  if (queue.value >= max_kernel_queues || mark_.inherited()) return;
  QueueState& state = queues_[queue.value];
  if (!state.open.exchange(false)) return;
  // Runs after all submitted commands. A lost device has none.
  const auto value = rings_[first_kernel_ring + queue.value].submit(
      1, condition_.generation,
      [](Slot& slot, Payload&, std::size_t) { slot.operation = Operation::close; });
  const MutexLock lock(tables_mutex_);
  state.closing = value.value_or(0);
}

Result<KernelId> SoftDevice::find_kernel(std::string_view module, std::string_view name) {
  if (!usable()) return lost_error();
  if (inject_fault(Step::kernel))
    return fail(ErrorCode::unknown_kernel, "device %d: a kernel not found, as planned",
                options_.number);
  // The device process has the directory that this one had when it was started.
  std::string path(module);
  if (path.find('/') != std::string::npos) {
    std::error_code failed;
    path = std::filesystem::absolute(path, failed).string();
    if (failed)
      return fail(
          ErrorCode::unknown_kernel,
          "the module '%.*s' is named from the working directory, which cannot be found: %s; "
          "give an absolute path",
          static_cast<int>(module.size()), module.data(), failed.message().c_str());
  }
  const std::uint32_t generation = condition_.generation.load();
  SLUICE_ASSIGN(index, child()->find_kernel(path, name, options_.hang_timeout));
  const MutexLock lock(tables_mutex_);
  if (kernel_names_.size() <= index) kernel_names_.resize(index + 1);
  kernel_names_[index] = name;
  known_kernels_ = static_cast<std::uint32_t>(kernel_names_.size());
  return KernelId{std::uint64_t{generation} << 32 | (index + 1)};
}

Result<Fence> SoftDevice::launch(QueueId queue, const LaunchCommand& command) {
  const std::size_t lists = grant_lists(command);
  return launch_through(
      queue, command,
      [lists](RingWriter& ring, std::uint32_t generation, int,
              auto&& fill) -> Result<std::optional<std::uint64_t>> {
        return ring.submit(
            lists + 1, generation, [&](Slot& slot, Payload& payload, std::size_t index) {
              fill(slot, payload, index < lists ? std::optional(index) : std::nullopt);
            });
      });
}

// Besides launches only the closing of the queue takes a slot, once, and finds one whenever a
// launch that asked would.
bool SoftDevice::has_room(QueueId queue, const LaunchCommand& command) const noexcept {
  if (!usable() || queue.value >= max_kernel_queues || !queues_[queue.value].open) return true;
  return rings_[first_kernel_ring + queue.value].has_room(grant_lists(command) + 2);
}

void SoftDevice::wait_for_room(QueueId queue, const LaunchCommand& command) const noexcept {
  if (!usable() || queue.value >= max_kernel_queues) return;
  rings_[first_kernel_ring + queue.value].wait_for_room(grant_lists(command) + 2);
}

// Models a driver without user-mode queues: for every launch a system call, a switch to the device
// process, a check of the named memory, and an answer.
Result<Fence> SoftDevice::dispatch(QueueId queue, const LaunchCommand& command,
                                   std::span<const NamedMemory> named) {
  const std::shared_ptr<Child> process = child();
  return launch_through(
      queue, command, [&](RingWriter& ring, std::uint32_t generation, int number, auto&& fill) {
        return ring.submit_by(
            generation,
            [&](Slot& slot, Payload& payload, std::size_t) { fill(slot, payload, std::nullopt); },
            [&](std::uint64_t value) {
              return process->dispatch(number, value, named, options_.hang_timeout);
            });
      });
}

// Checks a launch and fills its slot, and those of its lists of grants; `submit` says how the
// device learns of it.
template <typename Submit>
Result<Fence> SoftDevice::launch_through(QueueId queue, const LaunchCommand& command,
                                         Submit&& submit) {
  if (!usable()) return lost_error();
  if (queue.value >= max_kernel_queues ||
      !queues_[queue.value].open.load(std::memory_order_acquire)) {
    return fail(ErrorCode::invalid_argument, "device %d has no queue %u", options_.number,
                queue.value);
  }
  const std::uint64_t kernel = command.kernel.value;
  if ((kernel >> 32) != condition_.generation.load(std::memory_order_relaxed) ||
      (kernel & 0xffff'ffff) == 0 ||
      (kernel & 0xffff'ffff) > known_kernels_.load(std::memory_order_relaxed)) {
    return fail(ErrorCode::unknown_kernel,
                "device %d: kernel %#llx was not found since the device was started",
                options_.number, static_cast<unsigned long long>(kernel));
  }
  if (command.granted && !options_.limits_launches) {
    return fail(ErrorCode::unsupported, "device %d was not opened to limit launches",
                options_.number);
  }
  if (command.arguments.size() > argument_capacity) {
    return fail(ErrorCode::invalid_argument, "%zu bytes of kernel arguments: use up to %zu",
                command.arguments.size(), argument_capacity);
  }
  const int ring = first_kernel_ring + queue.value;
  if (control_->rings[ring].stopped_by.load(std::memory_order_acquire) != 0)
    return tl::unexpected(stopped_by_fault(ring));

  std::array<Dependency, wait_capacity> dependencies;
  SLUICE_ASSIGN(dependency_count, gather(command.wait_for, dependencies));
  std::array<std::byte, argument_capacity> arguments;
  if (!command.arguments.empty())
    std::memcpy(arguments.data(), command.arguments.data(), command.arguments.size());
  const PlannedFault planned = plan_.next(Step::launch);
  const auto fill = [&](Slot& slot, Payload& payload, std::optional<std::size_t> list) {
    if (list) {
      fill_grants(slot, payload, *command.granted, *list);
      return;
    }
    slot.operation = Operation::launch;
    slot.limited = command.granted.has_value();
    slot.planned = planned.what;
    slot.planned_ms = planned.milliseconds;
    slot.count = dependency_count;
    slot.argument_size = static_cast<std::uint16_t>(command.arguments.size());
    slot.kernel.store(static_cast<std::uint32_t>(kernel & 0xffff'ffff) - 1,
                      std::memory_order_relaxed);
    slot.items = command.items;
    std::memcpy(payload.launch.arguments.data(), arguments.data(), command.arguments.size());
    std::memcpy(payload.launch.dependencies.data(), dependencies.data(),
                dependency_count * sizeof(Dependency));
  };
  SLUICE_ASSIGN(value, submit(rings_[ring], static_cast<std::uint32_t>(kernel >> 32), ring, fill));
  if (!value) return lost_error();
  return Fence{static_cast<std::int16_t>(options_.number), static_cast<std::uint16_t>(ring),
               *value};
}

// The fences that are still pending, at most wait_capacity; beyond that only the newest of each
// timeline.
Result<std::uint16_t> SoftDevice::gather(std::span<const Fence> fences,
                                         std::span<Dependency> dependencies) const noexcept {
  std::uint16_t count = 0;
  for (const Fence& fence : fences) {
    if (fence.device < 0) continue;
    SLUICE_TRY(check(fence));
    const FenceState state = rings_[fence.timeline].poll(fence.value);
    if (state == FenceState::complete) continue;
    if (state == FenceState::failed)
      return tl::unexpected(
          describe(fence.timeline, rings_[fence.timeline].failure_of(fence.value)));
    if (count == dependencies.size())
      return fail(ErrorCode::invalid_argument, "a launch waits for more than %zu fences",
                  dependencies.size());
    dependencies[count++] = Dependency::of(fence.timeline, fence.value);
  }
  return count;
}

Result<void> SoftDevice::check(Fence fence) const noexcept {
  if (fence.device == options_.number && fence.timeline < ring_count &&
      fence.value <= rings_[fence.timeline].newest())
    return {};
  return fail(ErrorCode::invalid_argument,
              "fence %llu of timeline %u, device %d: device %d never gave it out",
              static_cast<unsigned long long>(fence.value), fence.timeline, fence.device,
              options_.number);
}

FenceState SoftDevice::poll(Fence fence) const noexcept {
  if (fence.device < 0) return FenceState::complete;
  if (mark_.inherited() || !check(fence)) return FenceState::failed;
  return rings_[fence.timeline].poll(fence.value);
}

Result<void> SoftDevice::wait(Fence fence, const Wait& how) const {
  if (fence.device < 0) return {};
  if (mark_.inherited()) return lost_error();
  SLUICE_TRY(check(fence));
  if (inject_fault(Step::fence, how.interruptible))
    return fail(ErrorCode::interrupted, "the wait was interrupted, as planned");
  const RingWriter& ring = rings_[fence.timeline];
  const os::FutexResult woken = ring.wait(fence.value, how.deadline, how.interruptible);
  switch (ring.poll(fence.value)) {
    case FenceState::complete:
      return {};
    case FenceState::failed:
      await_stop_told(fence.timeline, how.deadline);
      return tl::unexpected(describe(fence.timeline, ring.failure_of(fence.value)));
    case FenceState::pending:
      break;
  }
  if (woken == os::FutexResult::interrupted)
    return fail(ErrorCode::interrupted, "a signal interrupted the wait");
  if (woken == os::FutexResult::timed_out)
    return fail(ErrorCode::timed_out, "device %d: the fence is still pending at the deadline",
                options_.number);
  return lost_error();
}

std::optional<KernelFault> SoftDevice::fault_of(Fence launch) const {
  if (launch.device < 0 || mark_.inherited() || !check(launch)) return std::nullopt;
  Failure failure = rings_[launch.timeline].failure_of(launch.value);
  // The device reports the stop before the launch has ended, and the failure is entered at its end.
  const Ring& ring = control_->rings[launch.timeline];
  if (!failure && ring.stopped_by.load(std::memory_order_acquire) == launch.value)
    failure = {FailureKind::fault, ring.stop_access.load(), ring.stop_address.load(),
               ring.stop_kernel.load()};
  if (failure.kind != FailureKind::fault) return std::nullopt;
  const MutexLock lock(tables_mutex_);
  return KernelFault{name_of_kernel(failure.b),
                     {static_cast<std::uint16_t>(launch.timeline - first_kernel_ring)},
                     Address{failure.a},
                     Access{static_cast<std::uint8_t>(failure.code)}};
}

}  // namespace sluice::device::soft
