// The state of a mapping operation: transitions and the report.
//
// It is a table of at most 64 entries, walked as a whole: cheaper than any work of a device. What
// it does not do: talk to devices, or lock; the engine does both around it.
#include "mapping/operation.hpp"

#include <algorithm>
#include <cassert>

namespace sluice::mapping {

Operation::Operation(const Request& request) : verb_(request.verb), mode_(request.mode) {
  devices_.reserve(request.devices.size());
  for (const int device : request.devices) devices_.push_back({.device = device});
}

void Operation::restart() {
  finished_ = false;
  for (DeviceMapping& device : devices_) device = {.device = device.device};
}

void Operation::attempt(std::size_t index) {
  assert(devices_[index].state == MappingState::not_tried);
  devices_[index].state = MappingState::pending;
}

void Operation::count_dispatch(std::size_t index) {
  assert(devices_[index].state == MappingState::pending);
  ++devices_[index].dispatched;
}

void Operation::found(std::size_t index) {
  assert(devices_[index].state == MappingState::not_tried);
  devices_[index].state = wanted();
}

void Operation::succeed(std::size_t index) {
  assert(devices_[index].state == MappingState::pending);
  devices_[index].state = wanted();
}

void Operation::fail(std::size_t index, const Error& why) {
  assert(devices_[index].state == MappingState::pending ||
         devices_[index].state == MappingState::not_tried);
  devices_[index].state = MappingState::failed;
  devices_[index].why = why;
}

void Operation::undo(std::size_t index) {
  assert(devices_[index].state == wanted());
  devices_[index].state = MappingState::undone;
}

void Operation::finish() { finished_ = true; }

bool Operation::any_failed() const noexcept {
  return std::any_of(devices_.begin(), devices_.end(), [](const DeviceMapping& device) {
    return device.state == MappingState::failed;
  });
}

Result<void> Operation::outcome() const {
  for (const DeviceMapping& device : devices_)
    if (device.why) return tl::unexpected<Error>(*device.why);
  return {};
}

std::size_t Operation::prefix() const noexcept {
  const auto gap =
      std::find_if(devices_.begin(), devices_.end(),
                   [this](const DeviceMapping& device) { return device.state != wanted(); });
  return static_cast<std::size_t>(gap - devices_.begin());
}

}  // namespace sluice::mapping
