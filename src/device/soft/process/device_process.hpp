// The parts of a device process, and the threads that run them.
#pragma once

#include <array>
#include <mutex>

#include "device/soft/control_area.hpp"
#include "device/soft/failure_log.hpp"
#include "device/soft/messages.hpp"
#include "device/soft/process/kernel_table.hpp"
#include "device/soft/process/memories.hpp"
#include "device/soft/process/page_table.hpp"
#include "device/soft/spin.hpp"

namespace sluice::device::soft::process {

// Made once, before the first thread; never destroyed, because threads run until the process ends.
struct DeviceProcess {
  Settings settings{};
  ControlArea* control = nullptr;
  Memories memories;
  PageTable page_table{memories};
  KernelTable kernels;
  // Where launches are limited: held by the one kernel that runs, for the page table is limited to
  // what its launch was granted.
  std::mutex turn;
  std::array<FailureLog, ring_count> failures;

  [[nodiscard]] Spin::Microseconds longest_spin() const noexcept {
    return Spin::Microseconds(settings.spin_us);
  }
};

// Start the thread of a ring. They throw std::system_error when Linux has no thread left.
void start_mapping_ring(DeviceProcess& device);
void start_copy_ring(DeviceProcess& device, int ring);
void start_kernel_ring(DeviceProcess& device, int ring);

// Carries out the planned fault of this command: waits, dies, or answers that the command fails.
[[nodiscard]] Failure obey_plan(const Slot& slot) noexcept;

// Ends this process the way a crash would.
[[noreturn]] void kill_this_process() noexcept;

}  // namespace sluice::device::soft::process
