// Engine: one space. It checks the requests of programs and passes each to the responsible part
// (parts.hpp).
//
// Members take addresses and plain values and are thread-safe. References that they return live as
// long as the engine. User memory is never read or written under a claim or a lock: arguments are
// copied before, results written after.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/back_end.hpp"
#include "device/device.hpp"
#include "engine/external_backends.hpp"
#include "engine/publisher.hpp"
#include "engine/requests.hpp"
#include "engine/trace_file.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "os/host_memory.hpp"
#include "sluice/access.hpp"
#include "sluice/advice.hpp"
#include "sluice/finding.hpp"
#include "sluice/kind.hpp"
#include "sluice/mapping.hpp"
#include "sluice/options.hpp"
#include "sluice/residency.hpp"

namespace sluice::engine {

struct Core;     // core.hpp, with journey 1, host accesses
struct Parts;    // parts.hpp, with journey 2, launches
class Mappings;  // mappings.hpp, journey 3

class Engine final {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Engine>> open(const SpaceOptions& options,
                                                            const ExternalBackends& external = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Ranges. allocate: `device` counts for Kind::device only; `name` is not in managed memory.
  // `base` must come from allocate().
  [[nodiscard]] Result<Address> allocate(std::size_t size, Kind kind, int device, HostPages pages,
                                         std::string_view name = {});
  [[nodiscard]] Result<void> free(Address base, FreeMode mode);

  // Launches.
  [[nodiscard]] Result<device::QueueId> create_queue(int device);
  void destroy_queue(int device, device::QueueId queue) noexcept;
  [[nodiscard]] Result<device::KernelId> find_kernel(int device, std::string_view module,
                                                     std::string_view name);
  [[nodiscard]] Result<device::Fence> launch(const LaunchRequest& request);
  // Ends what launch() with an external queue began, as ExternalWork says.
  [[nodiscard]] Result<void> submitted(device::Fence fence, device::ExternalMark mark);
  void nothing_submitted(device::Fence fence) noexcept;

  // From now on a host access that waits for a kernel for more than some milliseconds goes on with
  // a copy of the bytes of the moment, and its stores are put into the device's memory: programs
  // rely on that with NVIDIA's managed memory.
  void let_host_visit();
  // The caller has learned that a kernel ended, other than from the engine: what the host sees from
  // now on is not older.
  void await_visit() const noexcept;

  // Fences, of devices and of the engine's own timeline (prefetch).
  [[nodiscard]] device::FenceState poll(device::Fence fence) noexcept;
  [[nodiscard]] Result<void> wait(device::Fence fence, const device::Wait& how);
  // Waits until every launch and prefetch submitted before the call is complete. Returns the first
  // failure.
  [[nodiscard]] Result<void> synchronize(const device::Wait& how);

  // Hints. prefetch returns at once; its fence completes when the data has arrived or when there
  // was no room for it.
  [[nodiscard]] Result<device::Fence> prefetch(AddressSpan span, Location to);
  [[nodiscard]] Result<void> advise(AddressSpan span, AdviceKind kind, Location location);

  [[nodiscard]] Result<void> discard(AddressSpan span);  // it reads as zeros; waits for kernels
  // memmove() over plain memory and the ranges of all spaces of the process. Returns when done.
  [[nodiscard]] Result<void> copy(void* to, const void* from, std::size_t size);
  [[nodiscard]] Result<void> evict(AddressSpan span, int device);  // to the host, giving no rights

  // Leases: the bytes are brought to `location` and do not move until the end of the lease.
  [[nodiscard]] Result<LeaseId> lease(AddressSpan span, Location location, Access access);
  void end_lease(LeaseId lease) noexcept;

  [[nodiscard]] Mappings& mappings() noexcept;  // on several devices at once
  [[nodiscard]] Result<void> relocate(AddressSpan span, Location to, MappingReport& report);

  // Queries.
  [[nodiscard]] Result<RangeInfo> range_of(Address address) const;
  [[nodiscard]] Result<Residency> residency(Address address) const;
  [[nodiscard]] Result<ResidencySummary> residency(AddressSpan span) const;
  [[nodiscard]] Result<Attributes> attributes(Address address) const;
  [[nodiscard]] std::string explain(Address address) const;
  [[nodiscard]] Status status() const;
  [[nodiscard]] std::vector<Finding> findings() const;
  [[nodiscard]] int device_count() const noexcept;
  [[nodiscard]] Result<DeviceStatus> device_status(int device) const;
  // Returns the first broken invariant of any block, in words. For tests and `sluice stress`.
  [[nodiscard]] std::optional<std::string> check() const;

  // Devices.
  [[nodiscard]] Result<void> reset_device(int device);
  [[nodiscard]] Result<void> plan_faults(int device, std::string_view plan);
  [[nodiscard]] device::Device* back_end(int device) noexcept;  // for benchmarks and tests

  // True if this is a copy of the space in a forked child, where calls are refused.
  [[nodiscard]] bool inherited() const noexcept;
  // The managed addresses.
  [[nodiscard]] AddressSpan window() const noexcept;
  // A number that is unique among the spaces of the process (spaces.hpp). Handles carry it.
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }

  [[nodiscard]] observe::Observer& observer() noexcept;
  [[nodiscard]] fault::FaultSource& fault_source() noexcept;  // for benchmarks

 private:
  Engine(const SpaceOptions& options, std::unique_ptr<os::HostMemory> memory);
  [[nodiscard]] Result<void> start(device::DeviceGroup* named, const ExternalBackends& external);
  void write_trace();

  const std::uint32_t number_;
  const std::unique_ptr<Core> core_;
  std::unique_ptr<Parts> parts_;  // once the core has started
  TraceFile trace_file_;
  Publisher publisher_;
};

}  // namespace sluice::engine
