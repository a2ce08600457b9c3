// DeviceEvents: what devices tell the engine, and which part of it hears that.
#pragma once

#include <atomic>
#include <optional>

#include "base/result.hpp"
#include "device/device.hpp"
#include "engine/device_event_queue.hpp"
#include "observe/observe.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

class DeviceAnswers;    // device_access.hpp
class FatalFaults;      // fatal_faults.hpp
class LimitedAccesses;  // limited_access.hpp
class LossAccounting;   // loss_accounting.hpp

// The parts of an engine that events are for.
struct DeviceEventHandlers {
  DeviceAnswers& answers;
  LimitedAccesses* limited;  // null: strict mode is off
  LossAccounting& accounting;
  const FatalFaults& fatal_faults;
};

// Exists before the devices do, and outlives them.
class DeviceEvents final : public device::EventSink {
 public:
  DeviceEvents(const transfer::Devices& devices, observe::Observer& observer) noexcept
      : devices_(devices), observer_(observer) {}

  // From here on what devices tell is heard, the loss of one before this included.
  [[nodiscard]] Result<void> start(const DeviceEventHandlers& handlers);
  // The space is open: kernels may run.
  void open() noexcept { open_.store(true, std::memory_order_release); }
  [[nodiscard]] DeviceEventQueue& queue() noexcept { return queue_; }

  void device_lost(int device, const Error& why) noexcept override;
  void device_access_fault(int device, std::uint32_t fault, Address address,
                           Access access) noexcept override;
  void device_fatal_fault(int device, device::Fence launch, Address address, Access access,
                          const Error& report) noexcept override;

 private:
  void run(const DeviceEvent& event) noexcept;

  const transfer::Devices& devices_;
  observe::Observer& observer_;
  std::optional<DeviceEventHandlers> handlers_;  // set by start(), read by what open() lets in
  std::atomic<bool> open_{false};
  DeviceEventQueue queue_;
};

}  // namespace sluice::engine
