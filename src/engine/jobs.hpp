// Work for the engine's own threads: small values that fit a Worker's ring.
#pragma once

#include <cstdint>
#include <optional>

#include "base/types.hpp"
#include "engine/uses.hpp"
#include "sluice/access.hpp"
#include "sluice/location.hpp"

namespace sluice::engine {

// Jobs outlive ranges: one may be run when its range is gone and another has the addresses. So they
// name it by number, too.

// A block that readers on the host will want next, or the rest of.
struct AheadJob {
  Address block;
  std::uint64_t range = 0;
  Access access = Access::read;
};

struct PrefetchJob {
  AddressSpan span;
  std::uint64_t range = 0;
  Location to = Location::host();
  std::uint64_t value = 0;  // on the host timeline
};

// A device was lost, or a kernel of one that retries faults waits for an answer.
struct DeviceEvent {
  int device = -1;
  bool lost = false;
  std::uint32_t fault = 0;
  Address address;
  Access access = Access::read;
  device::Fence launch{};  // strict mode: whose access it is
  int contended = 0;       // strict mode: how often it was put off
  bool again = false;      // it was tried before
};

// What came of an access of a device that retries faults. Not done: a kernel must end first or, if
// none, others hold what could leave. With a shortage, the device's memory never holds all the
// blocks at once.
struct Given {
  bool done = false;
  std::optional<ActiveUse> obstacle = std::nullopt;
  std::optional<Error> shortage = std::nullopt;
};

}  // namespace sluice::engine
