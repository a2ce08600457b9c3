// BackEnd: how a kind of device takes part in opening a space: its options are checked, the driver
// is prepared before the space has addresses, and the devices are opened.
//
// A back end defines a constant `back_end` in the namespace of its folder; backends.cc lists them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "device/device.hpp"
#include "device/host_memory.hpp"
#include "sluice/options.hpp"

namespace sluice::device {

// The demands of the devices of a space on the process's addresses.
struct AddressNeeds {
  // Bytes outside of the window that will be mapped for the devices themselves.
  std::size_t outside = 0;
  // The devices have their own memory in the window, so ranges of Kind::host are kept apart, at its
  // end (HostMemory::host_zone).
  bool host_zone = false;
};

// The devices of one kind that a space is to have. Their options are sound. Used by one thread,
// while the space opens.
class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;

  [[nodiscard]] virtual int count() const noexcept = 0;
  [[nodiscard]] virtual AddressNeeds address_needs() const noexcept { return {}; }
  // Done before the space looks for its addresses; its effect lasts as long as the group.
  [[nodiscard]] virtual Result<void> prepare() { return {}; }
  // Opens device `number`, from 0 to count() - 1. `host` and `sink` outlive the device.
  [[nodiscard]] virtual Result<std::unique_ptr<Device>> open(int number, const HostMemory& host,
                                                             EventSink& sink) = 0;
};

struct BackEnd {
  using Group = Result<std::unique_ptr<DeviceGroup>>;

  std::string_view name;
  // Checks the options of devices, which are all of this kind. `limited`: the space is in strict
  // mode, and its launches are limited where devices can do it. Errors name the device, the key and
  // the value.
  Group (*of_requests)(std::span<const DeviceRequest> requests, bool limited);

  // Of kinds that have a field of their own in SpaceOptions, which names devices more briefly; a
  // kind that comes later needs none.
  struct Shorthand {
    std::string_view field;
    std::string_view none;                         // how the field names no device
    bool (*is_used)(const SpaceOptions& options);  // it has another value than by default
    // The devices that the field names; null if there are none.
    Group (*devices)(const SpaceOptions& options, bool limited);
  };
  const Shorthand* shorthand = nullptr;
};

}  // namespace sluice::device
