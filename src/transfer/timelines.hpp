// Timelines: all fences of a space, those of its devices and the engine's own.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "device/device.hpp"
#include "transfer/devices.hpp"

namespace sluice::transfer {

// The engine's own timeline: prefetches complete on it, in order. They always succeed, for a hint
// never fails.
class HostTimeline {
 public:
  static constexpr std::int16_t device_number = -2;

  // The fence of the next piece of work. Call in the order in which the work will complete.
  [[nodiscard]] device::Fence next() noexcept { return {device_number, 0, ++last_}; }
  // All fences up to `value` are complete.
  void complete(std::uint64_t value) noexcept;
  [[nodiscard]] bool is_complete(std::uint64_t value) const noexcept {
    return completed_.load(std::memory_order_acquire) >= value;
  }
  [[nodiscard]] device::Fence latest() const noexcept { return {device_number, 0, last_.load()}; }
  [[nodiscard]] Result<void> wait(std::uint64_t value, const device::Wait& how) const;

 private:
  std::atomic<std::uint64_t> last_{0};
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<std::uint32_t> bell_{0};  // counts completions; waiters sleep on it
};

class Timelines {
 public:
  explicit Timelines(const Devices& devices) noexcept : devices_(devices) {}

  [[nodiscard]] device::FenceState poll(device::Fence fence) const noexcept;
  [[nodiscard]] Result<void> wait(device::Fence fence, const device::Wait& how) const;
  // Fails if nothing of this space can ever complete the fence: it is of another space, or was made
  // up. Devices check their own fences when they are waited for.
  [[nodiscard]] Result<void> check(device::Fence fence) const;
  // The queue of the fence's launch; -1: a stream of the program's own.
  [[nodiscard]] int queue_number(device::Fence fence) const noexcept {
    return devices_[fence.device].queue_number(fence);
  }
  // True for the fence of an open section of external work.
  [[nodiscard]] bool is_open(device::Fence fence) const noexcept;
  // The same for the fence's device.
  [[nodiscard]] bool native_atomics(device::Fence fence) const noexcept {
    return devices_[fence.device].traits().native_atomics;
  }
  [[nodiscard]] bool is_pending(device::Fence fence) const noexcept {
    return poll(fence) == device::FenceState::pending;
  }
  // Costs a load, where is_pending() may ask hardware; true may be out of date.
  [[nodiscard]] bool may_be_pending(device::Fence fence) const noexcept;

  HostTimeline host;

 private:
  const Devices& devices_;
};

}  // namespace sluice::transfer
