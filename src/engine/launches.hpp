// Launches: brings kernels onto their devices. Journey 2.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"
#include "engine/kernel_watch.hpp"
#include "engine/launch.hpp"
#include "engine/launch_preparation.hpp"
#include "engine/losses.hpp"
#include "engine/owed_rights.hpp"
#include "observe/observe.hpp"

namespace sluice::engine {

// The parts of an engine that launches work with.
struct LaunchesParts {
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  const RangeTable& ranges;
  ReadinessTracker& readiness;
  LaunchPreparation& preparation;
  OwedRights& owed;
  const DeviceLosses& losses;
  StrictMode* strict;  // null: off
  std::atomic<std::uint64_t>& count;
  observe::Observer& observer;
  KernelWatch* kernels;  // null: no trace is written
};

// Thread-safe.
class Launches {
 public:
  explicit Launches(const LaunchesParts& parts) noexcept : parts_(parts) {}

  // The request's device is known to the space. Waits for kernels in the way.
  [[nodiscard]] Result<device::Fence> launch(const LaunchRequest& request);

 private:
  [[nodiscard]] Result<void> get_in(LaunchState& launch);
  void record(const LaunchState& launch, std::uint64_t began) const;
  [[nodiscard]] Result<void> name_ranges(LaunchState& launch) const;
  void name_every_range(LaunchState& launch) const;
  void limit(LaunchState& launch) const;
  [[nodiscard]] Result<void> enter(LaunchState& launch);

  const LaunchesParts parts_;
};

}  // namespace sluice::engine
