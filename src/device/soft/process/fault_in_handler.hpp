// Handles accesses of the device process's threads to addresses that they cannot reach.
#pragma once

#include <csetjmp>
#include <cstdint>

#include "sluice/access.hpp"

namespace sluice::device::soft::process {

struct DeviceProcess;

// Where a thread continues after an access that failed for good. Kernels and copies run with one in
// force.
struct Escape {
  sigjmp_buf target;
  int kernel_ring = -1;  // the ring of the running kernel; -1 in a copy engine
  bool limited = false;  // that kernel may reach only what its launch was granted
  // The fault after which one instruction is single-stepped, because the client waits until it has
  // retired.
  bool stepping = false;
  std::uint32_t stepped_fault = 0;  // its serial
  // Filled in by the handler:
  int signal = 0;
  std::uintptr_t address = 0;
  Access access = Access::read;
};

// The escape in force on this thread; null outside kernels and copies, where a fault is this
// program's own bug.
inline thread_local Escape* current_escape = nullptr;

// Installs the handlers for the whole process; `device` must never be destroyed.
void install_fault_handlers(DeviceProcess& device) noexcept;

// Gives the calling thread the stack that the handler runs on. False when there is no memory for
// it.
[[nodiscard]] bool give_handler_stack() noexcept;

}  // namespace sluice::device::soft::process
