// Requests to an engine, and its answers, as plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/types.hpp"
#include "device/device.hpp"
#include "device/external_work.hpp"
#include "engine/host_pool.hpp"
#include "sluice/access.hpp"
#include "sluice/kind.hpp"
#include "sluice/options.hpp"
#include "sluice/source_place.hpp"

namespace sluice::engine {

// Describes a range to be made.
struct RangeRequest {
  AddressSpan span;  // whole pages
  std::size_t size;  // bytes asked for
  Kind kind;
  int device;  // Kind::device: its owner
  HostPages pages;
  std::string_view name;  // in memory that the engine may touch
  // The views that a freed range left at the span, if they are used again.
  std::optional<PooledViews> pooled = std::nullopt;
};

// One use of memory that a launch names.
struct Use {
  AddressSpan span;
  Access access = Access::read;
};

// The place where the program submits a launch: as given by the source, or else an address in the
// submitting code.
struct LaunchSite {
  const void* caller = nullptr;
  const SourcePlace* source = nullptr;
};

struct LaunchRequest {
  int device = 0;
  device::QueueId queue;
  device::KernelId kernel;
  std::span<const std::byte> arguments;
  std::uint64_t items = 1;
  std::span<const Use> uses;
  bool every_shared_range = false;             // indirect access: the kernel may touch all of them
  Access every_shared_access = Access::write;  // and does this with them
  std::span<const device::Fence> wait_for;
  // The program itself launches, into this queue of the driver's, until submitted() or
  // nothing_submitted(): queue, kernel, arguments and items do not count.
  std::optional<device::ExternalQueue> external{};  // NOLINT(readability-redundant-member-init)
  LaunchSite site{};                                // NOLINT(readability-redundant-member-init)

  [[nodiscard]] bool writes_every_range() const noexcept {
    return every_shared_range && every_shared_access == Access::write;
  }
};

// The options in force; every degradation is reported.
struct Status {
  Grade grade;
  std::string grade_reason;   // why no better one
  bool shares_reads;          // a host read leaves a device's copy valid
  HostPages host_pages;       // in force for HostPages::automatic
  std::size_t address_space;  // bytes reserved
  std::size_t ranges;
  std::size_t bytes;
  Strict strict;                 // in force
  std::string strict_reason;     // on which devices it is not
  bool native_atomics;           // of all devices
  std::string no_private_tmpfs;  // why; empty: host memory is on one
  std::size_t host_pool;         // bytes that it may hold
  std::size_t host_pooled;       // bytes that it holds now
  bool published = false;        // to other processes
};

// How often and how long a device's queues were stopped for relocations, and for how long they run
// in between at least.
struct QueueStops {
  std::uint64_t count = 0;
  std::chrono::nanoseconds time{0};
  std::chrono::milliseconds interval{0};
};

struct DeviceStatus {
  device::Traits traits;
  std::size_t budget;
  std::size_t in_use;
  bool lost;
  QueueStops stops;
};

// A lease's number; 0 is none.
struct LeaseId {
  std::uint64_t value = 0;
};

enum class FreeMode : std::uint8_t {
  wait,    // until no kernel uses the range
  refuse,  // busy, if a kernel uses it
  unmap,   // as wait; a mapped range is unmapped first, and refused by the others
};

}  // namespace sluice::engine
