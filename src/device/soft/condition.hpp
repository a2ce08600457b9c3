// Condition: records whether a device can still be trusted and used; its client's parts share it.
// It has no lock, so that any thread that reads the control area may report invalid values there.
#pragma once

#include <atomic>

#include "device/soft/control_area.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft {

struct Condition {
  static constexpr int sound = -1;

  std::atomic<bool> lost{true};  // also before the first start
  // Of the process and its memory; a reset makes the next one. A command that was prepared for one
  // generation is not for another.
  std::atomic<std::uint32_t> generation{0};
  std::atomic<int> nonsense_on{sound};  // the ring on which the device wrote invalid values
  ControlArea* control = nullptr;

  // The device wrote invalid values. The thread that delivers events ends it, which is a loss like
  // any other.
  void distrust(int ring) noexcept {
    int expected = sound;
    if (!nonsense_on.compare_exchange_strong(expected, ring)) return;
    control->events.fetch_add(1);
    os::futex_wake_all(control->events);
  }
};

}  // namespace sluice::device::soft
