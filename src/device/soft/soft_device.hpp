// The software GPU: a device that is a process. docs/software-gpu.md describes how it works and
// what it guarantees.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "device/device.hpp"

namespace sluice::device::soft {

struct SoftOptions {
  int number = 0;  // 0..63, its name among the devices of one EventSink
  std::size_t memory_size =
      0;  // bytes, a multiple of the block size; taken from the host only as it is used
  int copy_engines = 2;  // 2..4: into the device, out of it, and then for copies between devices
  bool recoverable_faults = false;  // access faults of kernels are answered by the engine
  // Launches may be limited to what they are granted (LaunchCommand::granted). Kernels of the
  // device then run one after another, also those of different queues, for they have one page
  // table.
  bool limits_launches = false;
  // A copy, fill or mapping that makes no progress for this long hangs: the device is ended and
  // lost.
  std::chrono::milliseconds hang_timeout{10'000};
  // The same for kernels, from when one begins to run; 0: a kernel may run forever. It also applies
  // to a launch that is not started though it waits for nothing; if this is 0, hang_timeout applies
  // to that. Both: ten years and more is no limit.
  std::chrono::milliseconds kernel_timeout{0};
  // How long both sides look for work or an answer before they sleep. Ignored on a machine with one
  // core.
  std::chrono::microseconds spin{30};
  std::string fault_plan;  // docs/fault-plan.md
};

// Starts the device's process; about 3 ms. `host` and `sink` outlive the device. Devices opened
// with the same sink copy from each other. Errors: invalid_argument (an option, named), busy (the
// number is taken), out_of_host_memory (files, threads), system (the process cannot be started;
// says what was tried), timed_out (it did not answer).
//
// The device belongs to this process: in a child made by fork every call answers device_lost.
[[nodiscard]] Result<std::unique_ptr<Device>> open(const SoftOptions& options,
                                                   const HostMemory& host, EventSink& sink);

// The calls that only software devices have. Thread-safe, as all of Device.
class SoftwareCalls {
 public:
  // As Device::launch(), by a call instead of a doorbell: the device checks that the named memory
  // is mapped with these rights (invalid_argument if not, and nothing runs), and rings the queue's
  // doorbell itself. Returns when it has answered; the queue is held until then.
  [[nodiscard]] virtual Result<Fence> dispatch(QueueId queue, const LaunchCommand& command,
                                               std::span<const NamedMemory> named) = 0;
  // Makes later steps fail, hang, be slow, be interrupted or kill the device. Replaces the plan
  // before. docs/fault-plan.md defines the language; invalid_argument: the plan is not in it.
  [[nodiscard]] virtual Result<void> plan_faults(std::string_view plan) = 0;

 protected:
  ~SoftwareCalls() = default;
};

// Null: a device of another kind.
[[nodiscard]] SoftwareCalls* software_calls(Device& device) noexcept;

// The program's own window into a soft device's memory: the byte at `place`, which is on that
// device. For tests and as the baseline of measurements; nothing is ordered with the device's
// commands. Valid until the device is reset or closed.
[[nodiscard]] std::byte* client_view(const Device& soft_device, Place place) noexcept;

}  // namespace sluice::device::soft
