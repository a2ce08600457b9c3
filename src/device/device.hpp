// Device: the contract between the engine and a kind of device. A back end implements it.
//
// This is the core, which every back end implements. Abilities that only some kinds have are
// interfaces of their own (external_work.hpp, host_overflow.hpp, placed_memory.hpp,
// recoverable_faults.hpp, stoppable_queues.hpp), which a device is asked for; null means that it
// lacks the ability. The answer is the same for the device's life.
//
// Conventions
//  1. Members may be called from several threads at once, unless they say otherwise. Fault-handler
//     threads call copy, fill, update_mappings, poll and wait: those never allocate (a vendor's
//     driver below them may), and take no lock that is held while managed memory is touched.
//  2. Back ends never touch the application view. Host bytes are named by their managed address and
//     reached through the alias view, or through the memory file itself.
//  3. A failed call changes nothing. A call on a lost device answers device_lost.
//  4. Submitting never blocks on device work, except for room in a ring. A caller that holds a lock
//     asks for room before it launches.
//  5. Commands of one queue run in order. Copies on one copy engine run in order. Anything else is
//     ordered by fences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/commands.hpp"
#include "device/fence.hpp"
#include "device/host_memory.hpp"
#include "device/launch_command.hpp"
#include "device/traits.hpp"
#include "sluice/location.hpp"

namespace sluice::device {

class ExternalWork;
class HostOverflow;
class PlacedMemory;
class RecoverableFaults;
class StoppableQueues;

// A device's reports to the engine, on a thread of the back end.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // The device and the bytes in its memory are gone. All its pending fences have failed. Called
  // once until reset().
  virtual void device_lost(int device, const Error& why) noexcept = 0;
  // Only with Traits::recoverable_faults, and of launches that are limited. The kernel stalls until
  // RecoverableFaults::answer_fault(fault, ...) is called.
  virtual void device_access_fault(int device, std::uint32_t fault, Address address,
                                   Access access) noexcept = 0;
  // A kernel touched an address that is not mapped; its queue has stopped and the fences from
  // `launch` on fail with `report`.
  virtual void device_fatal_fault(int device, Fence launch, Address address, Access access,
                                  const Error& report) noexcept = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual const Traits& traits() const noexcept = 0;
  [[nodiscard]] virtual bool lost() const noexcept = 0;

  // Abilities beyond the core; null: the device lacks them.
  [[nodiscard]] virtual ExternalWork* external_work() noexcept { return nullptr; }
  [[nodiscard]] virtual HostOverflow* host_overflow() noexcept { return nullptr; }
  [[nodiscard]] virtual PlacedMemory* placed_memory() noexcept { return nullptr; }
  [[nodiscard]] virtual RecoverableFaults* recoverable_faults() noexcept { return nullptr; }
  [[nodiscard]] virtual StoppableQueues* stoppable_queues() noexcept { return nullptr; }

  // Memory. allocate: out_of_device_memory when no allocation of `size` (a multiple of the page
  // size, at most a block) is free. The bytes of a new allocation are unspecified. release never
  // fails and needs no fence: the caller has waited.
  [[nodiscard]] virtual Result<Allocation> allocate(std::size_t size) = 0;
  // As allocate(), of memory that will be mapped at an address: where such a change costs much, it
  // may be memory that is still mapped there.
  [[nodiscard]] virtual Result<Allocation> allocate_for(Address /*at*/, std::size_t size) {
    return allocate(size);
  }
  virtual void release(Allocation allocation) noexcept = 0;
  [[nodiscard]] virtual std::size_t memory_in_use() const noexcept = 0;
  // How many bytes of a span kernels have used since it was mapped, in pages and perhaps some
  // beside them; nothing if this kind of device cannot tell.
  [[nodiscard]] virtual std::optional<std::size_t> touched(AddressSpan /*span*/) const noexcept {
    return std::nullopt;
  }

  // Mappings, copies and fills. Their fence means complete, including flushes of translations.
  [[nodiscard]] virtual Result<Fence> update_mappings(std::span<const MappingCommand> commands) = 0;
  [[nodiscard]] virtual Result<Fence> copy(std::span<const CopyCommand> commands) = 0;
  [[nodiscard]] virtual Result<Fence> fill(std::span<const FillCommand> commands) = 0;

  // The host memory of a span of managed addresses, of one range, exists and will soon be copied
  // from. A back end that registers host memory does it here, and not in front of the first copy.
  virtual void expect_copies(AddressSpan /*span*/) noexcept {}
  // Bytes at these addresses, whole blocks of one range, will probably come to this device. A back
  // end in which it takes long to map memory does it here, and not in front of the first launch.
  virtual void expect_use(AddressSpan /*span*/) noexcept {}
  // The host memory of a span of managed addresses is about to be freed. No command that uses it is
  // under way.
  virtual void forget_host_memory(AddressSpan /*span*/) noexcept {}

  // Queues and kernels. An empty module means the built-in kernels; otherwise a path to a shared
  // object.
  [[nodiscard]] virtual Result<QueueId> create_queue() = 0;
  virtual void destroy_queue(QueueId queue) noexcept = 0;
  [[nodiscard]] virtual Result<KernelId> find_kernel(std::string_view module,
                                                     std::string_view name) = 0;
  [[nodiscard]] virtual Result<Fence> launch(QueueId queue, const LaunchCommand& command) = 0;
  // True if launch() would find room in the queue, and so not wait for it, or would fail for
  // another reason. Kernels may need a lock to complete, so a caller that launches under one asks
  // first, and waits without locks. Another launch may have taken the room by then.
  [[nodiscard]] virtual bool has_room(QueueId /*queue*/,
                                      const LaunchCommand& /*command*/) const noexcept {
    return true;
  }
  virtual void wait_for_room(QueueId /*queue*/, const LaunchCommand& /*command*/) const noexcept {}

  // Fences of this device.
  [[nodiscard]] virtual FenceState poll(Fence fence) const noexcept = 0;
  // The answer known without asking hardware: true for all pending fences, and perhaps for some
  // that have completed.
  [[nodiscard]] virtual bool may_be_pending(Fence fence) const noexcept {
    return poll(fence) == FenceState::pending;
  }
  [[nodiscard]] virtual Result<void> wait(Fence fence, const Wait& how) const = 0;

  // The access that ended the kernel of a launch; nothing if no access ended it, or if this kind of
  // device cannot tell.
  [[nodiscard]] virtual std::optional<KernelFault> fault_of(Fence /*launch*/) const {
    return std::nullopt;
  }
  // The number of the queue that a launch's fence is of, counted from 0; -1: of a stream of the
  // program's own.
  [[nodiscard]] virtual int queue_number(Fence fence) const noexcept { return fence.timeline; }

  // Restarts a lost (or hung) device with empty memory and no mappings. Queues stay valid; kernels
  // must be found again.
  [[nodiscard]] virtual Result<void> reset() = 0;
};

}  // namespace sluice::device
