// Trouble for a stress run: fault plans on random devices, and the reset of those that were lost by
// them.
//
// Two kinds: with any step, and with only those steps that report their failure to the call that
// needed them, so that no byte may be lost.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "sluice/sluice.hpp"

namespace sluice::stress {

// Counts up when the reset of a lost device begins, and when it has ended: it is odd in between. A
// worker compares it before and after an operation to know that a device was there all the time.
struct Losses {
  std::array<std::atomic<std::uint32_t>, max_devices> count{};
};

// Runs until `stop`; then all devices are back, and no plan is in force. `resets` counts devices
// that were reset.
void make_trouble(const Space& space, std::uint64_t seed, Losses& losses,
                  std::atomic<std::uint64_t>& resets, const std::atomic<bool>& stop);

// Runs until `stop`; then no plan is in force. No device is lost. Errors state that they are
// planned.
void make_steps_fail(const Space& space, std::uint64_t seed, const std::atomic<bool>& stop);

}  // namespace sluice::stress
