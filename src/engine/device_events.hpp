// DeviceEvents: receives the events of devices and passes each to the part that handles it.
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

// The parts of an engine that handle events.
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

  // Events are handled from here on, including the loss of a device before this call.
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
