// EntryChecks: the checks that every call of a program passes before anything else.
#pragma once

#include "base/result.hpp"
#include "os/fork_guard.hpp"
#include "sluice/location.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

class EntryChecks {
 public:
  explicit EntryChecks(const transfer::Devices& devices) noexcept : devices_(devices) {}

  // True if this is a copy of the space in a forked child. It has the memory of the engine, but not
  // its threads.
  [[nodiscard]] bool inherited() const noexcept { return process_.inherited(); }
  // unsupported: in a forked child.
  [[nodiscard]] Result<void> alive() const {
    if (process_.inherited())
      return fail(
          ErrorCode::unsupported,
          "this space belongs to the process that opened it; a forked child has no part in it");
    return {};
  }
  [[nodiscard]] Result<void> known_device(int device) const {
    if (devices_.has(device)) return {};
    return fail(ErrorCode::unknown_device, "there is no device %d; this space has %d", device,
                devices_.count());
  }
  [[nodiscard]] Result<void> known_location(Location location) const {
    return location.is_host() ? Result<void>{} : known_device(location.number());
  }

 private:
  const os::ProcessMark process_;
  const transfer::Devices& devices_;
};

}  // namespace sluice::engine
