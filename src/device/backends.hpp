// The registry of back ends: from the options of a space to the devices that it is to have.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "device/back_end.hpp"
#include "sluice/options.hpp"

namespace sluice::device {

// The devices that the options name, checked and not yet open; null if there are none. `limited`:
// as for BackEnd. invalid_argument: an option, or a back end that does not exist, with the names of
// those that do; devices of different kinds, which cannot reach each other's memory; more than
// max_devices.
[[nodiscard]] Result<std::unique_ptr<DeviceGroup>> named_devices(const SpaceOptions& options,
                                                                 bool limited);

}  // namespace sluice::device
