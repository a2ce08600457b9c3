// ExternalBackends: devices that only a face can open, and addresses that a driver has chosen,
// which the face brings to a space.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/device.hpp"

namespace sluice::engine {

// Opens device `number` of the space. Called once, while the space opens.
using OpenDevice = std::function<Result<std::unique_ptr<device::Device>>(
    int number, const device::HostMemory& host, device::EventSink& events)>;

struct ExternalBackends {
  // Addresses that a driver keeps for its own device memory. The space lays its window over the
  // host's side of them, and leaves plain memory there when it closes. Whole blocks. None: the
  // space finds a window of its own.
  std::optional<AddressSpan> window;
  std::vector<OpenDevice> devices;  // numbered after those of the options
};

}  // namespace sluice::engine
