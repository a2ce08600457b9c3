// The software GPU as a back end under test, with the options that tests turn.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <vector>

#include "device/device_rig.hpp"
#include "device/soft/soft_device.hpp"

namespace sluice::device::testing {

constexpr std::size_t soft_memory_size = std::size_t{64} << 20;

// 64 MiB of memory; `adjust` may change the options.
Backend soft_backend(std::function<void(soft::SoftOptions&)> adjust = {});
Backend recoverable_backend();  // one with recoverable faults

// The process ids behind the pidfds of this process: the device processes that it has open.
std::vector<pid_t> device_processes();
// The only one.
pid_t device_process();

// The calls that only software devices have.
inline soft::SoftwareCalls& soft_calls(Rig& rig) { return *soft::software_calls(rig.device()); }

// The letter of /proc/PID/stat; X when there is no such process.
char state_of(pid_t process);
// Whether a process exists and is no zombie.
bool runs(pid_t process);

// Waits until `condition` holds; false when patience is at its end.
bool eventually(const std::function<bool()>& condition);

}  // namespace sluice::device::testing
