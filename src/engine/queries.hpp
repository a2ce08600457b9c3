// Queries: snapshots of the engine's state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/relocations.hpp"
#include "engine/requests.hpp"
#include "engine/residency_manager.hpp"
#include "engine/strict_mode.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "observe/status_page.hpp"
#include "os/host_memory.hpp"
#include "sluice/advice.hpp"
#include "sluice/residency.hpp"

namespace sluice::engine {

// The parts of an engine that queries read.
struct QueriesParts {
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  const ResidencyManager& residency;
  const Relocations& relocations;
  const os::HostMemory& memory;
  const HostPool& pool;
  const fault::FaultSource& source;
  const StrictMode* strict;  // null: off
  const observe::Observer& observer;
};

// Thread-safe.
class Queries {
 public:
  explicit Queries(const QueriesParts& parts) noexcept : parts_(parts) {}

  [[nodiscard]] Result<RangeInfo> range_of(Address address) const;
  [[nodiscard]] Result<Residency> residency(Address address) const;
  [[nodiscard]] Result<ResidencySummary> residency(AddressSpan span) const;
  // The bytes that are resident now: the host's first, then each device's.
  void count_resident(std::vector<std::uint64_t>& bytes) const;
  [[nodiscard]] Result<Attributes> attributes(Address address) const;
  [[nodiscard]] std::string explain(Address address) const;
  [[nodiscard]] Status status() const;
  // All of a page that tells of the space and not of the page itself.
  void describe(observe::StatusPage& page) const;
  // The device is known to the space.
  [[nodiscard]] DeviceStatus device_status(int device) const;
  // Returns the first broken invariant of any block, in words.
  [[nodiscard]] std::optional<std::string> check() const;

 private:
  void list_worst(observe::StatusPage& page) const;

  const QueriesParts parts_;
};

}  // namespace sluice::engine
