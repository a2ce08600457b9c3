// Space: the managed addresses of a process, with its devices. Everything starts here.
//
// A handle: copies name the same space, which closes with the last handle, range, queue, fence,
// lease and memory resource of it. A program may have several spaces. Members may be called from
// several threads at once, but not from a signal handler.
//
// Sizes are bytes. Parts may start and end anywhere inside one live range; hints act on all pages
// that they touch, discard on the whole pages that lie inside. Every call on a part can fail with
//   invalid_argument  a size that is zero or overflows
//   unknown_address   not all of it lies in one live range; the detail names the address and the
//                     nearest range
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/access.hpp"
#include "sluice/advice.hpp"
#include "sluice/counters.hpp"
#include "sluice/device.hpp"
#include "sluice/export.hpp"
#include "sluice/fence.hpp"
#include "sluice/finding.hpp"
#include "sluice/kernel.hpp"
#include "sluice/kind.hpp"
#include "sluice/launch.hpp"
#include "sluice/lease.hpp"
#include "sluice/location.hpp"
#include "sluice/mapping.hpp"
#include "sluice/options.hpp"
#include "sluice/range.hpp"
#include "sluice/residency.hpp"
#include "sluice/result.hpp"
#include "sluice/status.hpp"
#include "sluice/stream_scope.hpp"
#include "sluice/trace.hpp"

namespace sluice {

class SLUICE_EXPORT Space {
 public:
  //   invalid_argument    an option that no machine could grant; the detail names it
  //   out_of_host_memory  addresses, descriptors, mappings or processes are exhausted
  //   system              a device could not be started
  [[nodiscard]] static Result<Space> open(const SpaceOptions& options = {});

  // --- ranges ------------------------------------------------------------------------------------
  // A shared or host range, aligned to 2 MiB (smaller shared ones: 64 KiB). Messages, findings,
  // traces and explain() tell its name, which need not be the only one, beside the address.
  //   invalid_argument    a size of zero; Kind::device; a name over 63 bytes, or not of one line
  //   out_of_host_memory  the host budget, address space or pool of huge pages cannot hold it
  //   unsupported         Kind::shared under Grade::none
  [[nodiscard]] Result<Range> allocate(std::size_t size, Kind kind = Kind::shared,
                                       HostPages pages = HostPages::automatic,
                                       std::string_view name = {}) const;
  [[nodiscard]] Result<Range> allocate(std::size_t size, std::string_view name) const {
    return allocate(size, Kind::shared, HostPages::automatic, name);
  }
  // A range in the memory of one device, for kernels of that device.
  //   unknown_device, out_of_device_memory
  [[nodiscard]] Result<Range> allocate_on_device(int device, std::size_t size,
                                                 std::string_view name = {}) const;
  // `count` elements.
  template <typename T>
  [[nodiscard]] Result<Buffer<T>> buffer(std::size_t count, Kind kind = Kind::shared,
                                         std::string_view name = {}) const {
    return allocate_array(count, sizeof(T), kind, name).map([](Range&& range) {
      return Buffer<T>(std::move(range));
    });
  }
  template <typename T>
  [[nodiscard]] Result<Buffer<T>> buffer(std::size_t count, std::string_view name) const {
    return buffer<T>(count, Kind::shared, name);
  }

  // Frees a range given up by Range::release(), after waiting for kernels that use it:
  // clMemBlockingFreeINTEL of cl_intel_unified_shared_memory. `base` must be the address that the
  // allocation returned; freeing a null pointer has no effect.
  //   unknown_address  foreign, freed before, or inside a range but not its base
  //   busy             leased or mapped
  [[nodiscard]] Result<void> free(void* base) const;
  // The same without waiting: `busy` also if a kernel uses it.
  [[nodiscard]] Result<void> free_if_idle(void* base) const;
  // The same, unmapping it first wherever it is mapped; the others refuse that as `busy`.
  [[nodiscard]] Result<void> unmap_and_free(void* base) const;

  // --- mapping on several devices at once: mapping.hpp -------------------------------------------
  // After map() the host and every device named can use all parts at once, at the same address, and
  // no launch has to name them. After unmap() no device named can reach them. Devices that are so
  // already are left alone. A call that was interrupted or timed out may be repeated, and attaches
  // to the operation under way. `report` may be null, and is filled unless the call is refused:
  //   invalid_argument  no parts, no devices, a device named twice
  //   unknown_device; unsupported: a host range, which every device reaches from allocation to free
  // Other errors are the first device's failure in the order given, timed_out, and interrupted.
  [[nodiscard]] Result<void> map(const std::vector<MappingPart>& parts,
                                 const std::vector<int>& devices,
                                 const MappingOptions& options = {},
                                 OnSignal on_signal = OnSignal::keep_waiting,
                                 MappingReport* report = nullptr) const;
  [[nodiscard]] Result<void> unmap(const std::vector<MappingPart>& parts,
                                   const std::vector<int>& devices,
                                   const MappingOptions& options = {},
                                   OnSignal on_signal = OnSignal::keep_waiting,
                                   MappingReport* report = nullptr) const;
  // The same without waiting.
  [[nodiscard]] Result<Mapping> start_map(const std::vector<MappingPart>& parts,
                                          const std::vector<int>& devices,
                                          const MappingOptions& options = {}) const;
  [[nodiscard]] Result<Mapping> start_unmap(const std::vector<MappingPart>& parts,
                                            const std::vector<int>& devices,
                                            const MappingOptions& options = {}) const;
  // Moves whole blocks of a device range, mapped or not: to the host, where its owner and all its
  // peers then reach it at the same address, or back to its owner. The queues of every device that
  // maps it are stopped meanwhile, and then go on; kernels of launches that do not name it may
  // continue to use it. The engine does the same when the owner's memory is short. `report` says
  // for each of the devices whether it is mapped there again. docs/mapping.md, "Relocation".
  //   unsupported  not a device range, `to` is neither the host nor its owner, or a device that
  //                maps it cannot stop its queues
  //   busy         leased
  //   timed_out    a kernel did not end, or others moved memory, for too long; nothing was moved
  //   out_of_host_memory, out_of_device_memory, data_lost; device_lost, system
  [[nodiscard]] Result<void> relocate(const void* data, std::size_t size, Location to,
                                      MappingReport* report = nullptr) const;
  // A shared range, or one in memory of `owner`, mapped on all of the devices; or no range at all.
  [[nodiscard]] Result<Range> allocate_mapped(std::size_t size, const std::vector<int>& devices,
                                              Access access = Access::write,
                                              std::string_view name = {}) const;
  [[nodiscard]] Result<Range> allocate_mapped_on_device(int owner, std::size_t size,
                                                        const std::vector<int>& peers,
                                                        Access access = Access::write,
                                                        std::string_view name = {}) const;

  // --- launches ----------------------------------------------------------------------------------
  //   unknown_device, device_lost, out_of_host_memory
  [[nodiscard]] Result<Queue> queue(int device) const;
  // Queue::kernel() without a queue. An empty module means the built-in kernels.
  //   unknown_device, unknown_kernel
  [[nodiscard]] Result<Kernel> kernel(int device, std::string_view module,
                                      std::string_view name) const;
  // The program's own work in a CUDA stream of `device`: stream_scope.hpp.
  [[nodiscard]] ScopeRequest on(CUstream_st* stream, int device = 0) const;
  // Waits for every launch and prefetch submitted before the call; returns the first failure.
  //   timed_out, interrupted: as Fence::wait()
  [[nodiscard]] Result<void> synchronize(OnSignal on_signal = OnSignal::keep_waiting) const;
  [[nodiscard]] Result<void> synchronize_until(Fence::Clock::time_point deadline,
                                               OnSignal on_signal = OnSignal::keep_waiting) const;

  // --- hints: they affect speed, never results, and fail for invalid arguments only
  // Returns at once; the fence completes when the data is there, or when there was no room for it.
  //   unknown_device
  [[nodiscard]] Result<Fence> prefetch(const void* data, std::size_t size, Location to) const;
  template <Contiguous T>
  [[nodiscard]] Result<Fence> prefetch(const T& memory, Location to) const {
    return prefetch(std::data(memory), size_in_bytes(memory), to);
  }
  // `location` is used by AdviceKind::prefer, accessed_by and not_accessed_by.
  //   unknown_device, invalid_argument: accessed_by and not_accessed_by name a device
  [[nodiscard]] Result<void> advise(const void* data, std::size_t size, AdviceKind kind,
                                    Location location = Location::host()) const;

  // --- data --------------------------------------------------------------------------------------
  // Gives up the bytes of the whole pages inside: they read as zeros and cost nothing. Waits for
  // kernels that use them. The last page of a range counts as whole when the part goes to the
  // range's end.
  //   busy         leased
  //   unsupported  not a shared range
  [[nodiscard]] Result<void> discard(void* data, std::size_t size) const;
  // memmove() that also accepts Kind::device ranges. Each side is plain host memory, or lies wholly
  // in one live range of this space or of another one of the process. Returns when done; like other
  // host accesses to shared ranges, it waits for kernels that may write the bytes it reads, or use
  // the bytes it writes, and for leases on devices. Managed memory never faults here, whatever
  // happens to devices and ranges meanwhile; unmapped plain memory does, as in memmove(). After an
  // error part of `to` may be written.
  //   unknown_address  managed, but not all in one live range; a range freed meanwhile
  //   data_lost        bytes of either side existed only on a device that was lost
  //   device_lost      memory of a device that is lost and holds no bytes yet
  //   timed_out        Stuck::deny, and a kernel in the way ran for longer than access_timeout
  //   out_of_host_memory
  [[nodiscard]] Result<void> copy(void* to, const void* from, std::size_t size) const;
  // Brings the bytes to `location` and keeps them there until the lease ends.
  //   unknown_device, out_of_device_memory, data_lost
  //   busy         leased elsewhere already
  //   unsupported  a host or device range, at any location but its own
  [[nodiscard]] Result<Lease> lease(const void* data, std::size_t size, Location location,
                                    Access access) const;

  // --- queries: snapshots, which may be out of date when they are read ---------------------------
  // The live range that an address lies in.
  [[nodiscard]] Result<RangeInfo> range_of(const void* address) const;
  // One page, and counts over a part.
  [[nodiscard]] Result<Residency> residency(const void* address) const;
  [[nodiscard]] Result<ResidencySummary> residency(const void* data, std::size_t size) const;
  // The advice in force at a page.
  [[nodiscard]] Result<Attributes> attributes(const void* address) const;
  // Everything known about an address, also if it is not managed, as text for people.
  [[nodiscard]] std::string explain(const void* address) const;
  [[nodiscard]] SpaceStatus status() const;
  [[nodiscard]] Counters counters() const noexcept;
  // The findings of strict mode so far, in the order of their first access; at most 256, later ones
  // are only counted (Counters::undeclared_accesses). docs/strict.md.
  [[nodiscard]] std::vector<Finding> findings() const;
  [[nodiscard]] Trace trace() const noexcept;  // the space's event ring
  // The first broken invariant of the directory; none in a correct Sluice. Slow; for tests.
  [[nodiscard]] std::optional<std::string> check() const;

  // --- devices -----------------------------------------------------------------------------------
  [[nodiscard]] int device_count() const noexcept;
  //   unknown_device
  [[nodiscard]] Result<DeviceInfo> device(int number) const;
  // Restarts a lost or hung device with empty memory. Queues stay valid; find kernels again.
  //   unknown_device, system; invalid_argument: it is neither lost nor hung
  [[nodiscard]] Result<void> reset_device(int number) const;
  // Makes later steps of a software device fail, hang, be slow or be interrupted.
  // docs/fault-plan.md defines the language.
  //   unknown_device, invalid_argument: the plan cannot be read
  //   unsupported: the device is hardware
  [[nodiscard]] Result<void> plan_faults(int device, std::string_view plan) const;

  friend bool operator==(const Space&, const Space&) noexcept = default;

 private:
  friend struct Inside;

  explicit Space(std::shared_ptr<engine::Engine> engine) noexcept : engine_(std::move(engine)) {}
  [[nodiscard]] Result<Range> allocate_array(std::size_t count, std::size_t element_size, Kind kind,
                                             std::string_view name) const;

  std::shared_ptr<engine::Engine> engine_;
};

}  // namespace sluice
