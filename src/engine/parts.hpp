// Parts: the parts of an engine that depend on its core, each with one job.
#pragma once

#include <optional>

#include "engine/allocator.hpp"
#include "engine/core.hpp"
#include "engine/device_access.hpp"
#include "engine/fatal_faults.hpp"
#include "engine/fences.hpp"
#include "engine/hints.hpp"
#include "engine/launch_preparation.hpp"
#include "engine/launches.hpp"
#include "engine/leases.hpp"
#include "engine/limited_access.hpp"
#include "engine/loss_accounting.hpp"
#include "engine/mappings.hpp"
#include "engine/prefetcher.hpp"
#include "engine/queries.hpp"
#include "engine/range_bytes.hpp"

namespace sluice::engine {

// Made in the order of its members: each needs only members before it.
struct Parts {
  // The core has started.
  explicit Parts(Core& core);
  // Starts the threads, and listens to the devices.
  [[nodiscard]] Result<void> start(Core& core);

  FatalFaults fatal_faults;
  Fences fences;
  Queries queries;
  Allocator allocator;
  RangeBytes bytes;
  LaunchPreparation preparation;
  Launches launches;  // journey 2
  Mappings mappings;  // journey 3
  Leases leases;
  Hints hints;
  Prefetcher prefetcher;
  LossAccounting loss_accounting;
  DeviceAnswers answers;
  std::optional<LimitedAccesses> limited;  // strict mode
};

}  // namespace sluice::engine
