// Engine: one space. It puts the stages together; engine.cc reads like the three journeys of ARCHITECTURE.md.
//
// Members take addresses and plain values and are thread-safe. What they hand out lives as long as the engine.
// User memory is never read or written here under a claim or a lock: arguments are copied before, results written after.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/types.hpp"
#include "device/device.hpp"
#include "engine/claim.hpp"
#include "engine/gate.hpp"
#include "engine/host_budget.hpp"
#include "engine/jobs.hpp"
#include "engine/owed_rights.hpp"
#include "engine/parked.hpp"
#include "engine/range_table.hpp"
#include "engine/requests.hpp"
#include "engine/room.hpp"
#include "engine/stages.hpp"
#include "engine/supplied.hpp"
#include "engine/trace_file.hpp"
#include "engine/worker.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "os/fork_guard.hpp"
#include "os/host_memory.hpp"
#include "sluice/access.hpp"
#include "sluice/advice.hpp"
#include "sluice/finding.hpp"
#include "sluice/kind.hpp"
#include "sluice/mapping.hpp"
#include "sluice/options.hpp"
#include "sluice/residency.hpp"

namespace sluice::engine {

struct Launching;  // launch.hpp
struct NamedUse;
struct Target;
struct Lease;         // leases.hpp
class DeviceAnswers;  // device_access.hpp
class Mappings;       // mappings.hpp
class StrictMode;     // strict_mode.hpp
struct LimitedLaunch;
struct MappingTask;
class Relocations;    // relocations.hpp
struct PrefetchPart;  // prefetch_part.hpp

class Engine final : private fault::Resolver, private device::EventSink {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Engine>> open(const SpaceOptions& options,
                                                            const Supplied& supplied = {});
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Ranges. allocate: `device` counts for Kind::device only. `base` must be what allocate returned.
  [[nodiscard]] Result<Address> allocate(std::size_t size, Kind kind, int device, HostPages pages);
  [[nodiscard]] Result<void> free(Address base, FreeMode mode);

  // Launches.
  [[nodiscard]] Result<device::QueueId> create_queue(int device);
  void destroy_queue(int device, device::QueueId queue) noexcept;
  [[nodiscard]] Result<device::KernelId> find_kernel(int device, std::string_view module,
                                                     std::string_view name);
  [[nodiscard]] Result<device::Fence> launch(const LaunchRequest& request);
  // What launch() with a stream began; `ran` false: nothing was put there.
  [[nodiscard]] Result<void> end_scope(device::Fence fence, std::uintptr_t stream, bool ran);

  // Fences, of devices and of the engine's own timeline (prefetch).
  [[nodiscard]] device::FenceState poll(device::Fence fence) noexcept;
  [[nodiscard]] Result<void> wait(device::Fence fence, const device::Wait& how);
  // Until every launch and prefetch submitted before the call is complete. The first failure is returned.
  [[nodiscard]] Result<void> synchronize(const device::Wait& how);

  // Hints. prefetch returns at once; its fence completes when the data is there or when there was no room for it.
  [[nodiscard]] Result<device::Fence> prefetch(AddressSpan span, Location to);
  [[nodiscard]] Result<void> advise(AddressSpan span, AdviceKind kind, Location location);

  [[nodiscard]] Result<void> discard(AddressSpan span);  // it reads as zeros; waits for kernels
  // memmove() over plain memory and the ranges of all spaces of the process (copy.cc). Returns when done.
  [[nodiscard]] Result<void> copy(void* to, const void* from, std::size_t size);
  [[nodiscard]] Result<void> evict(AddressSpan span, int device);  // to the host, giving no rights

  // Leases: the bytes are brought to `location` and do not move until the end of the lease.
  [[nodiscard]] Result<LeaseId> lease(AddressSpan span, Location location, Access access);
  void end_lease(LeaseId lease) noexcept;

  [[nodiscard]] Mappings& mappings() noexcept { return *mappings_; }  // on several devices at once
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
  // The first broken invariant of any block, in words. For tests and `sluice stress`.
  [[nodiscard]] std::optional<std::string> check() const;

  // Devices.
  [[nodiscard]] Result<void> reset_device(int device);
  [[nodiscard]] Result<void> plan_faults(int device, std::string_view plan);
  [[nodiscard]] device::Device* back_end(int device) noexcept;  // for benchmarks and tests

  // Of this space alone among those of the process (spaces.hpp). Handles carry it.
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }

  [[nodiscard]] observe::Observer& observer() noexcept { return observer_; }
  [[nodiscard]] fault::FaultSource& fault_source() noexcept { return *source_; }  // for benchmarks

 private:
  friend class Mappings;
  friend class MappingRun;
  friend class DeviceAnswers;
  friend class CopySide;
  Engine(const SpaceOptions& options, std::unique_ptr<os::HostMemory> memory);
  [[nodiscard]] Result<void> open_devices(const Supplied& supplied);  // open_devices.cc
  [[nodiscard]] Result<void> start();
  void synchronize_at_end() noexcept;
  [[nodiscard]] Result<void> alive() const;  // an error in a forked child
  [[nodiscard]] Result<void> known_device(int device) const;
  [[nodiscard]] Result<void> known_location(Location location) const;

  // Host accesses (host_access.cc); Resolver.
  [[nodiscard]] AddressSpan resolve(const fault::AccessFault& access) noexcept override;
  [[nodiscard]] AddressSpan give_access(Range& range, Block& block, Claim claim,
                                        const fault::AccessFault& access) noexcept;
  [[nodiscard]] plan::Window window_for(Range& range, Block& block, Address page, bool all_wanted);
  [[nodiscard]] plan::Window block_window_for(Range& range, const Block& block);
  [[nodiscard]] PageMask widen(const Block& block, PageMask pages,
                               HostPages host_pages) const noexcept;
  void look_ahead(Range& range, Block& block, const plan::Window& window, Access access) noexcept;
  AddressSpan give_again(Range& range, Block& block, const fault::AccessFault& access) noexcept;
  void fetch_rest(Range& range, Block& block, Claim claim, Access access) noexcept;
  void fetch_ahead(const AheadJob& job) noexcept;
  void fetch_group(Range& range, const AheadJob& job);
  void plan_ahead(Range& range, Block& block, Access access, std::vector<Task>& tasks);
  [[nodiscard]] AddressSpan refuse(const fault::AccessFault& access, const char* why) noexcept;

  // Launches (launch.cc).
  [[nodiscard]] Result<void> name_ranges(Launching& launching) const;
  [[nodiscard]] Result<void> get_in(Launching& launching);
  [[nodiscard]] Result<void> enter(Launching& launching);
  [[nodiscard]] Result<void> make_ready(Launching& launching);
  void find_targets(Launching& launching);
  [[nodiscard]] Result<void> choose_means(Launching& launching);
  void choose_lender(int device, Target& target) const;
  void note_hand_over(int device, const Target& target);
  [[nodiscard]] Result<void> refuse_overflow(const Launching& launching) const;
  [[nodiscard]] Result<bool> make_room(Launching& launching);
  [[nodiscard]] std::optional<ActiveUse> plan_target(int device, const Target& target,
                                                     std::vector<Task>& tasks);
  [[nodiscard]] Result<void> bring_targets(Launching& launching);

  // Allocation (ranges.cc).
  [[nodiscard]] AddressSpan zone_of(Kind kind) const noexcept;
  [[nodiscard]] Result<void> build_range(const RangeRequest& request);
  [[nodiscard]] Result<std::unique_ptr<Range>> make_range(const RangeRequest& request);
  [[nodiscard]] std::vector<std::uint32_t> lives(const RangeRequest& request) const;
  [[nodiscard]] Result<void> settle_range(Range& range);
  [[nodiscard]] Result<void> settle_host_range(Range& range);
  [[nodiscard]] Result<void> map_standing(Range& range, int device);
  [[nodiscard]] Result<void> settle_device_range(Range& range);
  [[nodiscard]] Result<void> settle_device_block(Range& range, Block& block);
  [[nodiscard]] Result<Address> allocate_within_budget(const RangeRequest& request);
  void end_range(std::unique_ptr<Range> range) noexcept;
  void take_down(Range& range) noexcept;

  // Prefetch (prefetch.cc).
  void run_prefetch(const PrefetchJob& job) noexcept;
  void prefetch_parts(const PrefetchJob& job);
  [[nodiscard]] bool start_prefetch(const PrefetchJob& job, PrefetchPart& part, std::size_t most);
  [[nodiscard]] bool finish_prefetch(PrefetchPart* part) noexcept;
  [[nodiscard]] Result<void> plan_prefetch(Range& range, Block& block, const PrefetchJob& job,
                                           std::vector<Task>& tasks,
                                           std::optional<ActiveUse>& obstacle);

  // Moving (moving.cc). bring() is for whoever holds the block's claim; a kernel in the way is returned instead.
  [[nodiscard]] Result<std::optional<ActiveUse>> bring(Range& range, Block& block,
                                                       const plan::Request& request);
  [[nodiscard]] Taking taking_for(const plan::Request& request, const Task& task) const noexcept;
  [[nodiscard]] Result<std::optional<ActiveUse>> discard_block(Range& range, Block& block,
                                                               AddressSpan part);
  void reconsider(Range& range, AddressSpan span);

  // Copies (copy.cc): bytes of one block, to or from memory of the library's own.
  [[nodiscard]] Result<void> refuse_lost_bytes(Range& range, AddressSpan span) const;
  [[nodiscard]] Result<void> copy_host_part(AddressSpan part, std::uint64_t range, Access access,
                                            std::byte* bytes);
  [[nodiscard]] Result<std::optional<ActiveUse>> try_host_part(Range& range, AddressSpan part,
                                                               Access access, std::byte* bytes,
                                                               bool& done);
  [[nodiscard]] Result<void> copy_device_part(AddressSpan part, std::uint64_t range, Access access,
                                              Address buffer);
  [[nodiscard]] Result<void> await_copied_kernel(const ActiveUse& use, Address at);

  // Leases (leases.cc).
  struct LeaseTry;
  [[nodiscard]] Result<void> lease_block(Range& range, Block& block, const Lease& lease);
  [[nodiscard]] Result<LeaseTry> try_lease(Range& range, Block& block, const Lease& lease);
  void release_blocks(const Lease& lease) noexcept;
  void pay_owed_rights() noexcept;
  void pay(const Debt& debt);
  void run_mapping(MappingTask& task) noexcept;  // steps in mapping_run.cc
  void try_mapping(MappingTask& task);

  // What devices tell (device_events.cc); EventSink.
  void device_lost(int device, const Error& why) noexcept override;
  void device_access_fault(int device, std::uint32_t fault, Address address,
                           Access access) noexcept override;
  void device_fatal_fault(int device, device::Fence launch, Address address, Access access,
                          const Error& report) noexcept override;
  void run_device_event(const DeviceEvent& event) noexcept;
  void answer_retried_access(const DeviceEvent& event) noexcept;
  [[nodiscard]] PageMask give_up_borrowed(Block& block, int device) noexcept;
  void give_up_device(int device) noexcept;
  [[nodiscard]] std::vector<Pin> every_range() const noexcept;
  // Losses (losses.cc). Until what a lost device had is accounted for, and so known to be lost or not.
  void await_given_up(int device, const device::Wait& how = {}) const noexcept;
  void await_every_loss(const device::Wait& how = {}) const noexcept;
  template <typename T>
  [[nodiscard]] Result<T> tell(Result<T> done, const device::Wait& how = {}) const noexcept {
    if (!done && done.error().code() == ErrorCode::device_lost) await_every_loss(how);
    return done;
  }
  [[nodiscard]] Result<void> outlive(const Error& error, Location needed, int& losses) const;

  // Strict mode (limited_access.cc).
  void limit(Launching& launching) const;
  void answer_limited_access(const DeviceEvent& event) noexcept;
  [[nodiscard]] bool note_undeclared(Range& range, const DeviceEvent& event, LimitedLaunch& launch);
  [[nodiscard]] Result<Given> give_limited_page(Range& range, Block& block,
                                                const DeviceEvent& event, LimitedLaunch* launch);
  [[nodiscard]] Result<Given> bring_limited_page(Range& range, Block& block, const PageMask& pages,
                                                 const DeviceEvent& event);
  [[nodiscard]] Error explain_fault(device::Fence fence, const Error& error) const;
  [[nodiscard]] std::vector<Use> named_by(device::Fence fence, Range& range) const;

  const SpaceOptions options_;  // Strict::automatic is settled
  const std::uint32_t number_;
  const os::ProcessMark process_;
  observe::Observer observer_;
  const std::unique_ptr<os::HostMemory> memory_;
  plan::Abilities abilities_;
  AddressSpan host_zone_;           // of Kind::host alone; empty: they are among the others
  bool keeps_host_memory_ = false;  // a device does
  RangeTable ranges_;
  transfer::Devices devices_;
  transfer::Timelines timelines_{devices_};
  std::unique_ptr<Gate> gate_;  // these four once the devices are known
  std::unique_ptr<Stages> stages_;
  std::unique_ptr<Room> room_;
  std::unique_ptr<Relocations> relocations_;
  std::unique_ptr<fault::FaultSource> source_;
  std::unique_ptr<StrictMode> strict_;  // null: off
  ParkedAccesses parked_{timelines_, observer_, options_};
  std::atomic<std::uint64_t> launches_{0};
  std::atomic<bool> open_{false}, closing_{false};  // for the devices' threads
  // By device: losses after which nothing is held there any more, and how often it came back since.
  std::array<std::atomic<std::uint32_t>, max_devices> given_up_{}, resets_{};
  HostBudget host_budget_;
  OwedRights owed_;

  mutable RankedMutex lease_mutex_{LockRank::leases, "leases"};
  std::uint64_t last_lease_ SLUICE_GUARDED_BY(lease_mutex_) = 0;
  std::map<std::uint64_t, std::unique_ptr<Lease>> leases_ SLUICE_GUARDED_BY(lease_mutex_);

  std::deque<Worker<AheadJob>> ahead_;  // as many as the machine has to spare
  Worker<PrefetchJob> prefetches_;
  std::unique_ptr<DeviceAnswers> device_answers_;
  Worker<DeviceEvent> device_events_;
  std::unique_ptr<Mappings> mappings_;
  TraceFile trace_file_;
};

}  // namespace sluice::engine
