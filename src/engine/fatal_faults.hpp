// FatalFaults: the error of a launch with a kernel that was ended by an access, in words that say
// what the launch does not name.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/strict_mode.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

// The parts of an engine that such an error is explained from.
struct FatalFaultsParts {
  const transfer::Devices& devices;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  const StrictMode* strict;  // null: off
};

// Thread-safe.
class FatalFaults {
 public:
  explicit FatalFaults(const FatalFaultsParts& parts) noexcept : parts_(parts) {}

  // Rewords the error where the launch is still known and does not name what its kernel touched;
  // otherwise returns the error itself.
  [[nodiscard]] Error explain(device::Fence fence, const Error& error) const;

 private:
  [[nodiscard]] std::vector<Use> named_by(device::Fence fence, Range& range) const;

  const FatalFaultsParts parts_;
};

}  // namespace sluice::engine
