// ExternalWork: work that the program submits to a device by itself, with the driver's own calls.
//
// The contract is the same for a CUDA stream, an OpenCL queue, a Level Zero list and a user-mode
// queue. begin() returns the fence of the work before there is any; the engine attaches it to the
// memory that the program named; the program submits; one call of submitted() or
// nothing_submitted() ends the section. So accesses and launches that conflict with the work wait
// for it from the moment at which it may be submitted.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "device/fence.hpp"

namespace sluice::device {

// Holds a section open for the work of several calls, until a thread asks for the section's fence.
class SectionHolder {
 public:
  // Ends the section, at once or as soon as the program's call that is under way has returned.
  // Called by any thread that asks for the fence, perhaps more than once, and perhaps for a section
  // that has ended; the caller may hold locks of the engine. Neither waits nor allocates.
  virtual void end_soon() noexcept = 0;

 protected:
  ~SectionHolder() = default;
};

// A queue of the program's own. The back end says what the value is: a CUstream, the number of a
// timeline of an OpenclDevice.
struct ExternalQueue {
  std::uintptr_t value = 0;
  // The program orders its queues of one device by itself, as programs of the driver's interface
  // do: the work comes after no fence of its own device.
  bool ordered_by_program = false;
  SectionHolder* holder = nullptr;  // outlives the space
};

// An object of the driver that completes with the work of a section. The back end says which: a
// CUstream stands for all work that it holds at the time, a cl_event for its command.
struct ExternalMark {
  std::uintptr_t value = 0;
};

// Thread-safe, as all of Device.
class ExternalWork {
 public:
  // Begins a section. The work comes after the fences, which are of this device: the queue waits
  // for them, or, where the driver's interface leaves it to programs to order their queues, the
  // program has ordered it. The fence returned is pending until the section has ended and the work
  // is complete. Errors: device_lost, busy (too many sections; or one of the fences is of an open
  // section), and those of the driver. Never waits for the device.
  [[nodiscard]] virtual Result<Fence> begin(ExternalQueue queue,
                                            std::span<const Fence> wait_for) = 0;
  // Ends a section: the work is in its queue, and completes with the mark. After an error the fence
  // is complete, and no access waits for the work.
  [[nodiscard]] virtual Result<void> submitted(Fence fence, ExternalMark mark) = 0;
  // Ends a section in which the program submitted nothing: the fence completes at once, or as soon
  // as the earlier ones of its timeline have.
  virtual void nothing_submitted(Fence fence) noexcept = 0;
  // True if later work of this device may come after the fence by naming it in `wait_for`. False
  // for the fence of an open section where the device could not be made to wait for it.
  [[nodiscard]] virtual bool orders(Fence fence) const noexcept = 0;

 protected:
  ~ExternalWork() = default;
};

}  // namespace sluice::device
