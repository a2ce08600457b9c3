// SharedFault: the record by which a device process and its client handle an access that stalls. It
// is a part of the control area.
#pragma once

#include <atomic>
#include <cstdint>

#include "sluice/access.hpp"

namespace sluice::device::soft {

// The progress of a kernel's access fault. Values of SharedFault::state, in order.
constexpr std::uint32_t fault_idle = 0;
constexpr std::uint32_t fault_posted = 1;     // by the device
constexpr std::uint32_t fault_delivered = 2;  // the engine knows
constexpr std::uint32_t fault_retry = 3;      // the engine's answer
constexpr std::uint32_t fault_refused = 4;
// As fault_retry; the device says when the access has retired.
constexpr std::uint32_t fault_retry_and_tell = 5;

// The id of an access fault: the ring in the low bits, and above it the serial number of the fault.
constexpr std::uint32_t fault_id(std::uint32_t serial, std::uint32_t ring) noexcept {
  return serial << 6 | ring;
}
constexpr int most_fault_rings = 64;
constexpr std::uint32_t ring_of_fault(std::uint32_t id) noexcept { return id & 63; }
// SharedFault::outcome: the fault, as far as its id tells it, and whether the access retired.
constexpr std::uint32_t outcome_value(std::uint32_t serial, bool retired) noexcept {
  return serial << 6 | (retired ? 1U : 0U);
}
constexpr bool is_outcome_of(std::uint32_t outcome, std::uint32_t fault) noexcept {
  return outcome >> 6 == fault >> 6;
}
constexpr bool has_retired(std::uint32_t outcome) noexcept { return (outcome & 1) != 0; }

// An access as the device process writes it; an invalid value counts as the access that needs more
// rights.
[[nodiscard]] constexpr Access access_of(std::uint32_t word) noexcept {
  return word == 0 ? Access::read : Access::write;
}

// The access fault of a kernel that waits for an answer. A queue has one thread, so one at a time.
struct SharedFault {
  std::atomic<std::uint32_t> state;   // futex of the device
  std::atomic<std::uint32_t> serial;  // which fault of this queue; part of its id
  std::atomic<std::uint64_t> address;
  std::atomic<std::uint32_t> access;
  // Futex of the client: the outcome of the last fault that it asked about; outcome_value().
  std::atomic<std::uint32_t> outcome;
};

}  // namespace sluice::device::soft
