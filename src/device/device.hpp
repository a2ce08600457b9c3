// Device: the contract between the engine and a kind of device. A back end implements it.
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

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/commands.hpp"
#include "device/host_memory.hpp"
#include "device/launch_command.hpp"
#include "device/traits.hpp"
#include "sluice/location.hpp"

namespace sluice::device {

using Clock = std::chrono::steady_clock;

enum class FenceState : std::uint8_t { pending, complete, failed };

struct Wait {
  Clock::time_point deadline = Clock::time_point::max();
  bool interruptible =
      false;  // a signal handled by this thread ends the wait with ErrorCode::interrupted
};

// A device's reports to the engine, on a thread of the back end.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // The device and the bytes in its memory are gone. All its pending fences have failed. Called
  // once until reset().
  virtual void device_lost(int device, const Error& why) noexcept = 0;
  // Only with Traits::retries_faults, and of launches that are limited. The kernel stalls until
  // Device::answer_fault(fault, ...) is called.
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

  // Memory. allocate: out_of_device_memory when no piece of `size` (a multiple of the page size, at
  // most a block) is free. The bytes of a new piece are unspecified. release never fails and needs
  // no fence: the caller has waited.
  [[nodiscard]] virtual Result<Piece> allocate(std::size_t size) = 0;
  // For a device that places memory by managed address: the piece behind [at, at + size).
  // Others ignore `at`.
  [[nodiscard]] virtual Result<Piece> allocate_at(Address /*at*/, std::size_t size) {
    return allocate(size);
  }
  virtual void release(Piece piece) noexcept = 0;
  // A piece of host memory that the device uses like its own, over its link: for bytes that its own
  // memory cannot hold. Optional.
  [[nodiscard]] virtual Result<Piece> allocate_in_host(std::size_t /*size*/) {
    return fail(ErrorCode::unsupported, "this kind of device has no memory on the host");
  }
  [[nodiscard]] virtual std::size_t memory_in_use() const noexcept = 0;

  // Mappings, copies and fills. Their fence means complete, including flushes of translations.
  [[nodiscard]] virtual Result<Fence> update_mappings(std::span<const MappingCommand> commands) = 0;
  [[nodiscard]] virtual Result<Fence> copy(std::span<const CopyCommand> commands) = 0;
  [[nodiscard]] virtual Result<Fence> fill(std::span<const FillCommand> commands) = 0;

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

  // As launch(), by a call instead of a doorbell: the device checks that the named memory is mapped
  // with these rights (invalid_argument if not, and nothing runs), and rings the queue's doorbell
  // itself. Returns when it has answered; the queue is held until then. Optional.
  [[nodiscard]] virtual Result<Fence> dispatch(QueueId /*queue*/, const LaunchCommand& /*command*/,
                                               std::span<const NamedMemory> /*named*/) {
    return fail(ErrorCode::unsupported, "this kind of device has queues, and no dispatch call");
  }

  // Stopping the queues, so that memory which their kernels may use without the engine's knowledge
  // can move. stop_queues() requests it and returns at once; wait_stopped() returns when no kernel
  // runs: running kernels have completed, and no kernel from any submitter begins until
  // restart_queues(). Copies, fills and mappings go on. A device that is reset meanwhile stays
  // stopped. One stop at a time (busy otherwise); also after an error of wait_stopped() (timed_out,
  // naming a queue that still runs a kernel; interrupted; device_lost) queues are stopped until
  // they are restarted. Optional.
  [[nodiscard]] virtual Result<void> stop_queues() {
    return fail(ErrorCode::unsupported, "the queues of this kind of device cannot be stopped");
  }
  [[nodiscard]] virtual Result<void> wait_stopped(const Wait& /*how*/) const { return {}; }
  virtual void restart_queues() noexcept {}

  // Work that the program itself gives the device, in a stream of the driver's. begin_scope: the
  // stream waits for the fences first; the fence returned is pending until end_scope(), and then
  // until all work in the stream at that time is complete. `ran` false: the program put nothing
  // there, and the fence is complete at once. Optional.
  [[nodiscard]] virtual Result<Fence> begin_scope(std::uintptr_t /*stream*/,
                                                  std::span<const Fence> /*wait_for*/) {
    return fail(ErrorCode::unsupported, "this kind of device has no streams but its queues");
  }
  [[nodiscard]] virtual Result<void> end_scope(Fence /*fence*/, std::uintptr_t /*stream*/,
                                               bool /*ran*/) {
    return fail(ErrorCode::unsupported, "this kind of device has no streams but its queues");
  }

  // Fences of this device. orders: true if a launch can wait for it, which it cannot for an open
  // scope.
  [[nodiscard]] virtual bool orders(Fence /*fence*/) const noexcept { return true; }
  [[nodiscard]] virtual FenceState poll(Fence fence) const noexcept = 0;
  // The answer known without asking hardware: true for all pending fences, and perhaps for some
  // that have completed.
  [[nodiscard]] virtual bool may_be_pending(Fence fence) const noexcept {
    return poll(fence) == FenceState::pending;
  }
  [[nodiscard]] virtual Result<void> wait(Fence fence, const Wait& how) const = 0;

  // Answers a stalled access: retry it, or (false) treat it as fatal.
  virtual void answer_fault(std::uint32_t fault, bool resolved) noexcept = 0;
  // The launch that stalls in this access until it is answered.
  [[nodiscard]] virtual Fence launch_of(std::uint32_t /*fault*/) const noexcept { return {}; }
  // The access that ended the kernel of a launch; nothing if no access ended it, or if this kind of
  // device cannot tell.
  [[nodiscard]] virtual std::optional<KernelFault> fault_of(Fence /*launch*/) const {
    return std::nullopt;
  }
  // Answers with a retry, and waits until that access has retired: has loaded or stored all its
  // bytes. False: it has not; it asked for another page, or died, or the deadline passed. Only with
  // Traits::retries_faults.
  [[nodiscard]] virtual bool answer_and_await(std::uint32_t fault,
                                              Clock::time_point /*until*/) noexcept {
    answer_fault(fault, true);
    return true;
  }
  // Of a kernel's access: a number that identifies the queue.
  [[nodiscard]] virtual std::uint32_t queue_of_fault(std::uint32_t /*fault*/) const noexcept {
    return 0;
  }
  // The number of the queue that a launch's fence is of, counted from 0; -1: of a stream of the
  // program's own.
  [[nodiscard]] virtual int queue_number(Fence fence) const noexcept { return fence.timeline; }

  // Restarts a lost (or hung) device with empty memory and no mappings. Queues stay valid; kernels
  // must be found again.
  [[nodiscard]] virtual Result<void> reset() = 0;

  // Makes later steps fail, hang, be slow, be interrupted or kill the device. docs/fault-plan.md
  // defines the language. `unsupported` on hardware.
  [[nodiscard]] virtual Result<void> plan_faults(std::string_view plan) = 0;
};

}  // namespace sluice::device
