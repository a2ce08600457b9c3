// Core: the foundation of an engine's parts: memory, ranges, devices, the fault source, and the
// stages that run plans.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "device/back_end.hpp"
#include "engine/block_mover.hpp"
#include "engine/device_events.hpp"
#include "engine/entry_checks.hpp"
#include "engine/external_backends.hpp"
#include "engine/host_access.hpp"
#include "engine/host_budget.hpp"
#include "engine/host_pool.hpp"
#include "engine/kernel_watch.hpp"
#include "engine/losses.hpp"
#include "engine/memory_headroom.hpp"
#include "engine/owed_rights.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/relocations.hpp"
#include "engine/residency_manager.hpp"
#include "engine/stages.hpp"
#include "engine/strict_mode.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "os/host_memory.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// Made in the order of its members, and destroyed in the opposite one.
struct Core {
  Core(const SpaceOptions& resolved, std::unique_ptr<os::HostMemory> host);

  // Opens the devices that the options name (null: none) and a face supplies, and gathers the facts
  // about all of them together. open_devices.cc
  [[nodiscard]] Result<void> open_devices(device::DeviceGroup* named,
                                          const ExternalBackends& external);
  // Makes the members that depend on the devices, and opens the fault source.
  [[nodiscard]] Result<void> start();

  const SpaceOptions options;  // Strict::automatic is resolved
  observe::Observer observer;
  const std::unique_ptr<os::HostMemory> memory;
  HostBudget host_budget;
  HostPool host_pool;
  MemoryHeadroom headroom;
  RangeTable ranges;
  plan::Abilities abilities;
  AddressSpan host_zone;           // of Kind::host alone; empty: its ranges are among the others
  bool keeps_host_memory = false;  // a device does
  DeviceEvents events{devices, observer};
  transfer::Devices devices;
  transfer::Timelines timelines{devices};
  EntryChecks checks{devices};
  DeviceLosses losses{devices};
  std::atomic<std::uint64_t> launches{0};  // how many there were
  ReadinessTracker readiness{timelines};
  Stages stages{devices, timelines, observer};
  BlockMover mover{readiness, stages, abilities};
  OwedRights owed{{ranges, timelines, mover}};
  HostAccess host_access;
  // start() makes these.
  std::unique_ptr<ResidencyManager> residency;
  std::unique_ptr<Relocations> relocations;
  std::unique_ptr<StrictMode> strict;    // null: off
  std::unique_ptr<KernelWatch> kernels;  // null: no trace is written
  std::unique_ptr<fault::FaultSource> source;
};

}  // namespace sluice::engine
