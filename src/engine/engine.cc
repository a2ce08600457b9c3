// The engine from above: how a space opens and closes, and its journeys.
//
// Journey 1, a host access to a page that it has no right to: resolve(), below, runs on a thread of the fault source.
// Journey 2, a launch: launch(), below, runs on the caller's thread. One with nothing to move costs a mutex and a few
// comparisons more than the bare submission.
// Journey 3, mapping a range on several devices: run_mapping(), below, runs on a thread of the engine, and its caller waits.
// What stands elsewhere: host_access.cc, launch.cc and mapping_run.cc have the steps of the journeys, stages.cc runs their plans, room.cc
// evicts, moving.cc prefetches, device_events.cc answers devices, ranges.cc allocates, leases.cc and queries.cc say it all.
#include "engine/engine.hpp"

#include <algorithm>
#include <thread>

#include "device/soft/soft_device.hpp"
#include "engine/launch.hpp"
#include "engine/leases.hpp"
#include "engine/mapping_run.hpp"
#include "engine/mappings.hpp"
#include "fault/open_fault_source.hpp"

namespace sluice::engine {

// --- journey 1 ----------------------------------------------------------------------------------------------------------

AddressSpan Engine::resolve(const fault::AccessFault& access) noexcept {
  observer_.count(observe::Counter::cpu_faults);
  const std::uint64_t began = observer_.clock();

  // Whose page is it? A range may have been freed since; then the access, made again, dies as any wild one does.
  const Pin range = ranges_.find(access.address);
  if (!range) return {access.address, page_size};

  // From here to the end of this scope nobody else changes the block.
  Block& block = range->block_of(access.address);
  const Claim claim(block.claim);

  // Ask the directory, make a plan, run it: copy, publish, grant. Or park the access until a kernel ends.
  const AddressSpan given = give_access(*range, block, access);
  observer_.record(EventKind::cpu_fault, given, Location::host(), Location::host(), began,
                   access.thread);
  return given;
}

// --- journey 2 ----------------------------------------------------------------------------------------------------------

Result<device::Fence> Engine::launch(const LaunchRequest& request) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(request.device));
  const std::uint64_t began = observer_.clock();

  // What does it touch?
  Launching launching(request);
  SLUICE_TRY(name_ranges(launching));

  while (true) {
    // If everything named is there, it is in: its fence is attached to what it may write.
    SLUICE_TRY(enter(launching));
    if (launching.fence) break;

    // Otherwise rights are taken from the host, stale pages copied, blocks mapped, the directory published.
    if (!launching.obstacle) SLUICE_TRY(make_ready(launching));

    // A kernel in the way is waited for with nothing held. Its failure is for whoever launched it.
    if (launching.obstacle) {
      launching.release_claims();
      (void)timelines_.wait(std::exchange(launching.obstacle, std::nullopt)->fence, {});
    }
  }
  observer_.count(observe::Counter::launches);
  observer_.record(EventKind::launch, {}, Location::host(), Location::device(request.device),
                   began);
  return *launching.fence;
}

// --- journey 3 ----------------------------------------------------------------------------------------------------------

void Engine::run_mapping(MappingTask& task) noexcept {
  while (true) {
    // From here to release() nobody else changes the blocks. What is mapped already is not mapped again.
    MappingRun run(*this, task);
    run.plan();

    // The bytes go where all can reach them. That is the first device's work; the others find it done.
    const Result<std::optional<ActiveUse>> placed = run.place();

    // A kernel in the way is waited for with nothing held.
    if (placed && *placed) {
      run.release();
      (void)timelines_.wait((*placed)->fence, {});
      continue;
    }

    // Every device gets its list before any is waited for. Then each has an outcome of its own, and what must not stay is
    // taken back; only after that does anybody hear of it.
    if (placed) {
      run.dispatch();
      run.collect();
      run.undo();
    } else {
      run.refuse(placed.error());
    }
    run.publish();
    run.release();
    run.tell_lost();
    return;
  }
}

// --- opening and closing ------------------------------------------------------------------------------------------------

Result<std::shared_ptr<Engine>> Engine::open(const SpaceOptions& options,
                                             const Supplied& supplied) {
  if (options.software.count < 0 || options.software.count > max_devices)
    return fail(ErrorCode::invalid_argument, "software.count is %d; it must be 0 to %d",
                options.software.count, max_devices);
  if (options.software.memory_size == 0 || options.software.memory_size % block_size != 0)
    return fail(ErrorCode::invalid_argument,
                "software.memory_size is %zu; it must be a multiple of %zu, and not zero",
                options.software.memory_size, block_size);
  if (options.access_window % page_size != 0)
    return fail(ErrorCode::invalid_argument, "access_window is %zu; it must be a multiple of %zu",
                options.access_window, page_size);
  if (options.handler_threads < 2)
    return fail(ErrorCode::invalid_argument, "handler_threads is %d; it must be at least 2",
                options.handler_threads);

  SLUICE_ASSIGN(window, supplied.window ? os::AddressWindow::adopt(*supplied.window)
                                        : os::AddressWindow::reserve(
                                              round_up(options.address_space, block_size)));
  SLUICE_ASSIGN(memory, os::HostMemory::create(std::move(window)));
  std::shared_ptr<Engine> engine(new Engine(options, std::move(memory)));
  SLUICE_TRY(engine->open_devices(supplied));
  SLUICE_TRY(engine->start());
  return engine;
}

Engine::Engine(const SpaceOptions& options, std::unique_ptr<os::HostMemory> memory)
    : options_(options), memory_(std::move(memory)), ranges_(memory_->window()) {}

Result<void> Engine::open_devices(const Supplied& supplied) {
  os::HostMemory* memory = memory_.get();
  const auto file_at = [memory](Address address) {
    return memory->pages_at(address) == HostPages::huge ? memory->huge_file() : memory->file();
  };
  const device::HostMemory host{memory_->file(), memory_->alias_begin(), memory_->window(),
                                file_at};
  const SoftwareDevices& wanted = options_.software;
  for (int number = 0; number < wanted.count; ++number) {
    device::soft::SoftOptions soft;
    soft.number = number;
    soft.memory_size = wanted.memory_size;
    soft.retries_faults = (wanted.retrying_devices >> number & 1) != 0;
    soft.kernel_timeout = wanted.kernel_timeout;
    soft.hang_timeout = wanted.transfer_timeout;
    const char* environment = std::getenv("SLUICE_FAULT_PLAN");
    soft.fault_plan =
        !wanted.fault_plan.empty() || environment == nullptr ? wanted.fault_plan : environment;
    SLUICE_ASSIGN(opened, device::soft::open(soft, host, *this));
    if (opened->traits().retries_faults)
      abilities_.retrying_devices |= std::uint64_t{1} << static_cast<unsigned>(number);
    devices_.push_back(std::move(opened));
  }
  for (const OpenDevice& open : supplied.devices) {
    SLUICE_ASSIGN(opened, open(static_cast<int>(devices_.size()), host, *this));
    devices_.push_back(std::move(opened));
  }
  return {};
}

Result<void> Engine::start() {
  trace_file_.begin(observer_);
  std::vector<std::size_t> budgets;
  for (const auto& device : devices_) {
    const std::size_t whole = device->traits().memory_size;
    budgets.push_back(options_.device_budget == 0 ? whole
                                                  : std::min(options_.device_budget, whole));
  }
  gate_ = std::make_unique<Gate>(devices_.size(), timelines_);
  stages_ = std::make_unique<Stages>(devices_, timelines_, observer_);
  room_ = std::make_unique<Room>(devices_, std::move(budgets), ranges_, *gate_, *stages_, observer_,
                                 abilities_);
  mappings_ = std::make_unique<Mappings>(*this);
  SLUICE_ASSIGN(source, fault::open_fault_source({options_.best_grade, options_.handler_threads},
                                                 *memory_, *this));
  source_ = std::move(source);
  abilities_.host_can_share = source_->can_share();
  stages_->use(*source_);
  SLUICE_TRY(parked_.start(*source_));
  for (auto& worker : ahead_)
    SLUICE_TRY(worker.start("sluice-ahead", [this](const AheadJob& job) { fetch_ahead(job); }));
  SLUICE_TRY(
      prefetches_.start("sluice-prefetch", [this](const PrefetchJob& job) { run_prefetch(job); }));
  return device_events_.start("sluice-devices",
                              [this](const DeviceEvent& event) { run_device_event(event); });
}

Engine::~Engine() {
  if (process_.inherited()) {
    // A forked child has the memory of the engine, but not its threads.
    parked_.forget();
    for (auto& worker : ahead_) worker.forget();
    prefetches_.forget();
    device_events_.forget();
    if (mappings_ != nullptr) mappings_->forget();
    return;
  }
  prefetches_.stop();
  for (auto& worker : ahead_) worker.stop();
  if (gate_ != nullptr) {
    // Kernels must end before their memory does; a lost device has none.
    (void)synchronize({});
    mappings_->stop();
    for (Pin& pin : ranges_.all()) {
      const Address base = pin->pages.begin;
      pin.release();
      if (auto range = ranges_.remove(base)) end_range(std::move(range));
    }
  }
  closing_ = true;
  parked_.stop();
  device_events_.stop();
  // The devices' own threads end here. What they still say is heard by nobody.
  devices_.clear();
  trace_file_.end(observer_);
}

Result<void> Engine::alive() const {
  if (process_.inherited())
    return fail(
        ErrorCode::unsupported,
        "this space belongs to the process that opened it; a forked child has no part in it");
  return {};
}

Result<void> Engine::known_device(int device) const {
  if (device >= 0 && static_cast<std::size_t>(device) < devices_.size()) return {};
  return fail(ErrorCode::unknown_device, "there is no device %d; this space has %zu", device,
              devices_.size());
}

Result<void> Engine::known_location(Location location) const {
  return location.is_host() ? Result<void>{} : known_device(location.number());
}

}  // namespace sluice::engine
