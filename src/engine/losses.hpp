// DeviceLosses: which losses of devices are accounted for, and how a call waits until they are.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "engine/by_device.hpp"
#include "sluice/location.hpp"
#include "transfer/devices.hpp"

namespace sluice::engine {

// Thread-safe. Work that it waits for must not need a claim or a lock of the caller.
class DeviceLosses {
 public:
  explicit DeviceLosses(const transfer::Devices& devices) noexcept : devices_(devices) {}

  // Waits until the holdings of a lost device are accounted for, and so known to be lost or not.
  void await_given_up(int device, const device::Wait& how = {}) const noexcept;
  void await_every_loss(const device::Wait& how = {}) const noexcept;
  // The same, if the call with this result reports a lost device.
  template <typename T>
  [[nodiscard]] Result<T> tell(Result<T> done, const device::Wait& how = {}) const noexcept {
    if (!done && done.error().code() == ErrorCode::device_lost) await_every_loss(how);
    return done;
  }
  // Succeeds if a call may try again after the error: a device was lost, and not the one that is
  // needed. The next try succeeds, or learns that its bytes are lost. Call without claims.
  [[nodiscard]] Result<void> outlive(const Error& error, Location needed, int& losses) const;

  // Records that the lost device holds nothing any more.
  void note_given_up(int device) noexcept;
  // The device is back.
  void note_reset(int device) noexcept { ++resets_[device]; }
  // Number of the device's losses so far that are fully accounted for.
  [[nodiscard]] std::uint32_t given_up(int device) const noexcept { return given_up_[device]; }

 private:
  const transfer::Devices& devices_;
  ByDevice<std::atomic<std::uint32_t>> given_up_;
  ByDevice<std::atomic<std::uint32_t>> resets_;
};

}  // namespace sluice::engine
