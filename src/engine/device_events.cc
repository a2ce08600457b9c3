// Receives the events of devices: recoverable page faults, kernels that died, lost devices.
//
// A back end reports events on a thread of its own, which must stay free to notice the next loss;
// so all work that needs a claim becomes a job for one thread here. device_access.cc answers page
// faults, limited_access.cc those of strict mode, and loss_accounting.cc gives up the holdings of a
// lost device. What it does not do: bring a lost device back by itself; reset_device() does.
#include "engine/device_events.hpp"

#include "device/recoverable_faults.hpp"
#include "engine/device_access.hpp"
#include "engine/fatal_faults.hpp"
#include "engine/limited_access.hpp"
#include "engine/loss_accounting.hpp"
#include "os/report.hpp"

namespace sluice::engine {

Result<void> DeviceEvents::start(const DeviceEventHandlers& handlers) {
  handlers_.emplace(handlers);
  return queue_.start([this](const DeviceEvent& event) { run(event); });
}

void DeviceEvents::device_lost(int device, const Error& why) noexcept {
  if (queue_.is_closing()) return;
  os::report("device %d is lost: %s", device, why.detail().data());
  DeviceEvent event;
  event.device = device;
  event.lost = true;
  queue_.wait_and_add(event);
}

void DeviceEvents::device_access_fault(int device, std::uint32_t fault, Address address,
                                       Access access) noexcept {
  // No kernel runs before the space is open: the fault comes from a faulty device process.
  if (!open_.load(std::memory_order_acquire)) return;
  observer_.count(observe::Counter::gpu_faults);
  observer_.record(EventKind::gpu_fault, {address, page_size}, Location::device(device),
                   Location::device(device));
  DeviceEvent event{device, false, fault, address, access};
  if (handlers_->limited != nullptr)
    event.launch = devices_[device].recoverable_faults()->launch_of(fault);
  // The queue is full: the access is retried, and faults again.
  if (!queue_.add(event)) devices_[device].recoverable_faults()->answer_fault(fault, true);
}

void DeviceEvents::device_fatal_fault(int device, device::Fence launch, Address address,
                                      Access access, const Error& report) noexcept {
  if (!open_.load(std::memory_order_acquire)) return;  // as above
  observer_.count(observe::Counter::fatal_faults);
  observer_.record(EventKind::fatal_fault, {address, page_size}, Location::device(device),
                   Location::device(device));
  const Error why = handlers_->fatal_faults.explain(launch, report);
  os::report("device %d: %s of %#lx: %s", device, access == Access::read ? "read" : "write",
             address.value, why.detail().data());
}

void DeviceEvents::run(const DeviceEvent& event) noexcept {
  if (event.lost) {
    handlers_->answers.forget(event.device);
    handlers_->accounting.give_up(event.device);
  } else if (handlers_->limited != nullptr) {
    handlers_->limited->answer(event);
  } else {
    handlers_->answers.answer(event);
  }
}

}  // namespace sluice::engine
