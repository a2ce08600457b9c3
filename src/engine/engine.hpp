// Engine: one space. It puts the stages together; engine.cc reads like the three journeys of ARCHITECTURE.md.
//
// Members take addresses and plain values and are thread-safe. What they hand out lives as long as the engine.
// User memory is never read or written here under a claim or a lock: arguments are copied before, results written after.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/device.hpp"
#include "fault/fault_source.hpp"
#include "sluice/access.hpp"
#include "sluice/advice.hpp"
#include "sluice/kind.hpp"
#include "sluice/location.hpp"
#include "sluice/options.hpp"
#include "sluice/residency.hpp"

namespace sluice::engine {

// One thing that a launch names.
struct Use {
  AddressSpan span;
  Access access = Access::read;
};

struct LaunchRequest {
  int device;
  device::QueueId queue;
  device::KernelId kernel;
  std::span<const std::byte> arguments;
  std::uint64_t items = 1;
  std::span<const Use> uses;
  bool every_shared_range = false;  // indirect access: the kernel may read and write all of them
  std::span<const device::Fence> wait_for;
};

// What is in force; nothing degrades in silence.
struct Status {
  Grade grade;
  std::string grade_reason;     // why no better one
  bool shares_reads;            // a host read leaves a device's copy valid
  HostPages host_pages;         // in force for HostPages::automatic
  std::size_t address_space;    // bytes reserved
  std::size_t ranges;
  std::size_t bytes;
};

struct DeviceStatus {
  device::Traits traits;
  std::size_t budget;
  std::size_t in_use;
  bool lost;
};

// A lease's number; 0 is none.
struct LeaseId {
  std::uint64_t value;
};

enum class FreeMode : std::uint8_t {
  wait,    // until no kernel uses the range
  refuse,  // busy, if a kernel uses it
};

class Engine {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Engine>> open(const SpaceOptions& options);
  ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Ranges. allocate: `device` counts for Kind::device only. `base` must be what allocate returned.
  [[nodiscard]] Result<Address> allocate(std::size_t size, Kind kind, int device, HostPages pages);
  [[nodiscard]] Result<void> free(Address base, FreeMode mode);

  // Launches.
  [[nodiscard]] Result<device::QueueId> create_queue(int device);
  void destroy_queue(int device, device::QueueId queue) noexcept;
  [[nodiscard]] Result<device::KernelId> find_kernel(int device, std::string_view module, std::string_view name);
  [[nodiscard]] Result<device::Fence> launch(const LaunchRequest& request);

  // Fences, of devices and of the engine's own timeline (prefetch).
  [[nodiscard]] device::FenceState poll(device::Fence fence) const noexcept;
  [[nodiscard]] Result<void> wait(device::Fence fence, const device::Wait& how) const;
  // Until every launch and prefetch submitted before the call is complete. The first failure is returned.
  [[nodiscard]] Result<void> synchronize(const device::Wait& how);

  // Hints. prefetch returns at once; its fence completes when the data is there or when there was no room for it.
  [[nodiscard]] Result<device::Fence> prefetch(AddressSpan span, Location to);
  [[nodiscard]] Result<void> advise(AddressSpan span, AdviceKind kind, Location location);

  // The bytes are given up and read as zeros. Waits for kernels that use them.
  [[nodiscard]] Result<void> discard(AddressSpan span);
  // Managed or plain host memory on either side; Kind::device ranges too. Returns when done.
  [[nodiscard]] Result<void> copy(void* to, const void* from, std::size_t size);
  // Moves what a device holds of the span to the host, without giving the host rights.
  [[nodiscard]] Result<void> evict(AddressSpan span, int device);

  // Leases: the bytes are brought to `location` and do not move until the end of the lease.
  [[nodiscard]] Result<LeaseId> lease(AddressSpan span, Location location, Access access);
  void end_lease(LeaseId lease) noexcept;

  // Queries.
  [[nodiscard]] Result<RangeInfo> range_of(Address address) const;
  [[nodiscard]] Result<Residency> residency(Address address) const;
  [[nodiscard]] Result<ResidencySummary> residency(AddressSpan span) const;
  [[nodiscard]] Result<Attributes> attributes(Address address) const;
  [[nodiscard]] std::string explain(Address address) const;
  [[nodiscard]] Status status() const;
  [[nodiscard]] int device_count() const noexcept;
  [[nodiscard]] Result<DeviceStatus> device_status(int device) const;
  // The first broken invariant of any block, in words. For tests and `sluice stress`.
  [[nodiscard]] std::optional<std::string> check() const;

  // Devices.
  [[nodiscard]] Result<void> reset_device(int device);
  [[nodiscard]] Result<void> plan_faults(int device, std::string_view plan);
  // The back end's own object, for benchmarks and tests.
  [[nodiscard]] device::Device* back_end(int device) noexcept;

 protected:
  Engine() = default;
};

}  // namespace sluice::engine
