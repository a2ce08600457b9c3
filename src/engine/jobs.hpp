// Work for the engine's own threads: small values that fit a Worker's ring.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/types.hpp"
#include "engine/uses.hpp"
#include "sluice/access.hpp"
#include "sluice/location.hpp"

namespace sluice::engine {

// Jobs outlive ranges: a job may run when its range is gone and another has the addresses. So it
// names the range by number, too.

// Work ahead of, or behind, a thread of the host that goes through a range.
struct AheadJob {
  enum class Purpose : std::uint8_t {
    fetch,         // bring the bytes of the block, or the rest of them
    fill,          // the same for a writer: memory that was never written comes to be, too
    registration,  // the devices that keep host memory register this block and its neighbours
    preparation,   // the only device maps memory for this block and those behind it
    shrink         // give back what the block has, but nobody has touched
  };
  Address block;
  std::uint64_t range = 0;
  Access access = Access::read;
  Purpose purpose = Purpose::fetch;
};

struct PrefetchJob {
  AddressSpan span;
  std::uint64_t range = 0;
  Location to = Location::host();
  std::uint64_t value = 0;  // on the host timeline
};

// A device was lost, or a kernel of one with recoverable faults waits for an answer.
struct DeviceEvent {
  int device = -1;
  bool lost = false;
  std::uint32_t fault = 0;
  Address address;
  Access access = Access::read;
  device::Fence launch{};                           // strict mode: the launch that made the access
  std::chrono::steady_clock::time_point put_off{};  // strict mode: the first time; the epoch: never
  bool again = false;                               // it was tried before
};

// The result of answering an access of a device with recoverable faults. Not done: a kernel must
// end first or, if none, others hold the evictable blocks. With a shortage, the device's memory
// never holds all the blocks at once.
struct FaultOutcome {
  bool done = false;
  std::optional<ActiveUse> obstacle = std::nullopt;
  std::optional<Error> shortage = std::nullopt;
};

}  // namespace sluice::engine
