// Allocator: creates and destroys ranges.
#pragma once

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "engine/disposal.hpp"
#include "engine/entry_checks.hpp"
#include "engine/host_budget.hpp"
#include "engine/host_pool.hpp"
#include "engine/losses.hpp"
#include "engine/memory_headroom.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/relocations.hpp"
#include "engine/requests.hpp"
#include "engine/residency_manager.hpp"
#include "engine/stages.hpp"
#include "fault/fault_source.hpp"
#include "os/host_memory.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// The parts of an engine that the allocator works with.
struct AllocatorParts {
  const EntryChecks& checks;
  const SpaceOptions& options;
  const transfer::Devices& devices;
  const transfer::Timelines& timelines;
  RangeTable& ranges;
  ReadinessTracker& readiness;
  Stages& stages;
  ResidencyManager& residency;
  Relocations& relocations;
  os::HostMemory& memory;
  HostBudget& host_budget;
  fault::FaultSource& source;
  const plan::Abilities& abilities;
  const DeviceLosses& losses;
  observe::Observer& observer;
  AddressSpan host_zone;   // of Kind::host alone; empty: its ranges are among the others
  bool keeps_host_memory;  // a device does
  HostPool& pool;
  MemoryHeadroom& headroom;
};

// Thread-safe.
class Allocator {
 public:
  explicit Allocator(const AllocatorParts& parts)
      : parts_(parts),
        has_segments_(can_map_cells(parts.devices)),
        disposal_({[this](Range& range) { end_on_devices(range); },
                   [this](std::unique_ptr<Range> range) { retain_or_return(std::move(range)); },
                   [this] { (void)empty_pool(); }}) {}

  // Starts the thread that gives back what large freed ranges held.
  [[nodiscard]] Result<void> start();
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { disposal_.forget(); }

  // `device` counts for Kind::device only.
  [[nodiscard]] Result<Address> allocate(std::size_t size, Kind kind, int device, HostPages pages,
                                         std::string_view name = {});

  // unknown_address: `base` is not what allocate() returned.
  [[nodiscard]] Result<Pin> find_base(Address base) const;
  // `mode`: FreeMode::unmap counts as wait; the caller has unmapped the range. busy: the range is
  // leased, mapped or in use.
  [[nodiscard]] Result<void> free(Pin range, FreeMode mode);
  // Waits until freed ranges have given back what they had on devices. Waits for no kernel.
  void finish_on_devices() noexcept { (void)disposal_.finish_on_devices(); }
  // Ends all ranges. Nothing uses them any more.
  void free_all() noexcept;

  // Maps the device's permanent share of the range: all of a host range; of a device range that it
  // owns, the part that was not lost.
  [[nodiscard]] Result<void> map_standing(Range& range, int device);

 private:
  [[nodiscard]] Result<Address> allocate_within_budget(const RangeRequest& request);
  [[nodiscard]] Result<Address> take_addresses(const RangeRequest& request);
  void return_addresses(AddressSpan pages) noexcept;
  [[nodiscard]] Result<void> add_segment();
  void end_segment(Address segment) noexcept;
  [[nodiscard]] AddressSpan zone_of(Kind kind) const noexcept;
  [[nodiscard]] Result<void> build(const RangeRequest& request);
  [[nodiscard]] std::vector<std::uint32_t> lives(const RangeRequest& request) const;
  [[nodiscard]] Result<std::unique_ptr<Range>> make(const RangeRequest& request);
  [[nodiscard]] Result<void> prepare(Range& range, bool is_watched);
  [[nodiscard]] Result<void> prepare_host_range(Range& range);
  [[nodiscard]] Result<void> prepare_device_range(Range& range);
  [[nodiscard]] Result<void> prepare_device_block(Range& range, Block& block);
  [[nodiscard]] bool reclaim() noexcept;
  [[nodiscard]] bool is_disposed_of_later(const Range& range) const noexcept;
  void retain_or_return(std::unique_ptr<Range> range) noexcept;
  [[nodiscard]] bool retain(const Range& range) noexcept;
  [[nodiscard]] bool retain_unused(const Range& range) noexcept;
  [[nodiscard]] bool put_into_pool(const Range& range) noexcept;
  bool empty_pool() noexcept;
  void end_pooled(const PooledViews& views) noexcept;
  void return_pooled(const PooledViews& views) noexcept;
  void dispose(std::unique_ptr<Range> range) noexcept;
  void return_all(std::unique_ptr<Range> range) noexcept;
  void take_down(Range& range) noexcept;
  void await_users(Range& range) noexcept;
  void end_on_devices(Range& range) noexcept;
  void return_host_memory(Range& range) noexcept;
  void return_views(AddressSpan pages) noexcept;

  const AllocatorParts parts_;
  const bool has_segments_;
  Disposal disposal_;
};

}  // namespace sluice::engine
