// The engine from above: how a space opens and closes, and its journeys.
//
// Journey 1, a host access to a page that it has no right to: resolve(), below, runs on a thread of the fault source.
// Journey 2, a launch: launch(), below, runs on the caller's thread. One with nothing to move costs a mutex and a few
// comparisons more than the bare submission.
// Journey 3, mapping a range on several devices: run_mapping(), below, runs on a thread of the engine, and its caller waits.
// What stands elsewhere: host_access.cc, launch.cc and mapping_run.cc have the steps of the journeys, stages.cc runs their plans, room.cc
// evicts, relocations.cc moves mapped memory, prefetch.cc prefetches, device_events.cc answers devices, ranges.cc allocates, leases.cc and queries.cc say it all.
#include "engine/engine.hpp"

#include <algorithm>
#include <thread>

#include "base/deadline.hpp"
#include "device/cuda/cuda_device.hpp"
#include "engine/device_access.hpp"
#include "engine/launch.hpp"
#include "engine/leases.hpp"
#include "engine/mapping_run.hpp"
#include "engine/mappings.hpp"
#include "engine/relocations.hpp"
#include "engine/spaces.hpp"
#include "engine/strict_mode.hpp"
#include "fault/open_fault_source.hpp"
#include "os/uncancelled.hpp"

namespace sluice::engine {
namespace {

// More than any process can address, and more handlers than any machine can use.
constexpr std::size_t most_memory = std::size_t{1} << 47;
constexpr int most_handler_threads = 256;

// Threads that fetch ahead of a reader: what they do is mostly page tables, which one thread fills at a third of a fast link's speed.
std::size_t ahead_threads() noexcept {
  return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 2, 8);
}

// Software devices have their memory mapped in this process too, and a thread and a control area each.
Result<std::unique_ptr<os::HostMemory>> make_host_memory(const SpaceOptions& options,
                                                         const Supplied& supplied) {
  if (supplied.window) {
    SLUICE_ASSIGN(window, os::AddressWindow::adopt(*supplied.window));
    return os::HostMemory::create(std::move(window));
  }
  constexpr std::size_t beside_memory = std::size_t{16} << 20;
  const auto devices = static_cast<std::size_t>(options.software.count);
  return os::HostMemory::reserve(round_up(options.address_space, block_size),
                                 devices * (options.software.memory_size + beside_memory));
}

}  // namespace

// --- journey 1 ----------------------------------------------------------------------------------------------------------

AddressSpan Engine::resolve(const fault::AccessFault& access) noexcept {
  observer_.count(observe::Counter::cpu_faults);
  const std::uint64_t began = observer_.clock();

  // Whose page is it? A range may have been freed since; then the access, made again, dies as any wild one does.
  const Pin range = ranges_.find(access.address);
  if (!range) {
    // Its view may still be there, where the process has no mapping left to take it down. Nobody gets its bytes.
    const std::size_t unit = memory_->granule_at(access.address);
    const AddressSpan page{{round_down(access.address.value, unit)}, unit};
    (void)source_->restore(page, page, Access::write);
    return page;
  }

  // While it is claimed nobody else changes the block.
  Block& block = range->block_of(access.address);
  Claim claim(block.claim);

  // Ask the directory, make a plan, run it: copy, publish, grant. Or park the access until a kernel ends.
  const AddressSpan given = give_access(*range, block, std::move(claim), access);
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

  // What a launch that failed took from the host, although it is leased there, goes back at once.
  const auto give_back = [&] {
    launching.release_claims();
    owed_.note(launching.owed, {});
    pay_owed_rights();
  };
  try {
    if (Result<void> in = get_in(launching); !in) {
      give_back();
      return tl::unexpected<Error>(tell(in).error());
    }
  } catch (const std::bad_alloc&) {
    give_back();
    throw;
  }
  observer_.count(observe::Counter::launches);
  observer_.record(EventKind::launch, {}, Location::host(), Location::device(request.device),
                   began);
  return *launching.fence;
}

Result<void> Engine::get_in(Launching& launching) {
  while (true) {
    // If everything named is there, it is in: its fence is attached to what it may write.
    SLUICE_TRY(enter(launching));
    if (launching.fence) return {};

    // Otherwise rights are taken from the host, stale pages copied, blocks mapped, the directory published.
    if (!launching.obstacle && !launching.queue_is_full) {
      if (const Result<void> ready = make_ready(launching); !ready) {
        launching.release_claims();
        const Location here = Location::device(launching.request.device);
        SLUICE_TRY(outlive(ready.error(), here, launching.losses));
        continue;
      }
    }

    // A kernel in the way is waited for with nothing held. Its failure is for whoever launched it.
    if (const auto obstacle = std::exchange(launching.obstacle, std::nullopt)) {
      launching.release_claims();
      (void)timelines_.wait(obstacle->fence, {});
    }
    if (std::exchange(launching.queue_is_full, false)) {
      launching.release_claims();
      devices_[static_cast<std::size_t>(launching.request.device)]->wait_for_room(
          launching.request.queue, launching.command({}));
    }
  }
}

// --- journey 3 ----------------------------------------------------------------------------------------------------------

void Engine::run_mapping(MappingTask& task) noexcept {
  try {
    try_mapping(task);
  } catch (const std::bad_alloc&) {
    // Before anything was handed over: everything that is needed afterwards was made ready then.
    MappingRun::refuse(task, Error(ErrorCode::out_of_host_memory,
                                   "no memory for the records of a mapping operation"));
  }
}

void Engine::try_mapping(MappingTask& task) {
  while (true) {
    // From here to release() nobody else changes the blocks. What is mapped already is not mapped again.
    MappingRun run(*this, task);
    run.plan();

    // The bytes go where all can reach them. That is the first device's work; the others find it done.
    const Result<std::optional<ActiveUse>> placed = run.place();

    // A kernel in the way is waited for with nothing held.
    if (const auto obstacle = placed.value_or(std::nullopt)) {
      run.release();
      (void)timelines_.wait(obstacle->fence, {});
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
  if (!options.cuda.gpus.empty() && options.software.count != 0)
    return fail(ErrorCode::invalid_argument,
                "cuda.gpus names %zu GPUs and software.count is %d; a space has one kind of device",
                options.cuda.gpus.size(), options.software.count);
  if (options.cuda.gpus.size() > static_cast<std::size_t>(max_devices))
    return fail(ErrorCode::invalid_argument, "cuda.gpus has %zu entries; it may have %d",
                options.cuda.gpus.size(), max_devices);
  if (options.software.memory_size == 0 || options.software.memory_size % block_size != 0 ||
      options.software.memory_size > most_memory)
    return fail(ErrorCode::invalid_argument,
                "software.memory_size is %zu; it must be a multiple of %zu, not zero, and at most "
                "%zu",
                options.software.memory_size, block_size, most_memory);
  if (options.address_space > most_memory)
    return fail(ErrorCode::invalid_argument, "address_space is %zu; it must be at most %zu",
                options.address_space, most_memory);
  if (options.access_window % page_size != 0)
    return fail(ErrorCode::invalid_argument, "access_window is %zu; it must be a multiple of %zu",
                options.access_window, page_size);
  if (options.stop_interval < std::chrono::milliseconds(1))
    return fail(ErrorCode::invalid_argument, "stop_interval is %lld ms; it must be at least 1",
                static_cast<long long>(options.stop_interval.count()));
  if (options.handler_threads != 0 &&
      (options.handler_threads < 2 || options.handler_threads > most_handler_threads))
    return fail(ErrorCode::invalid_argument, "handler_threads is %d; it must be 2 to %d, or 0",
                options.handler_threads, most_handler_threads);

  SpaceOptions settled = options;
  SLUICE_ASSIGN(strict, StrictMode::wanted(options.strict));
  settled.strict = strict;
  const auto contexts = device::cuda::Contexts::hold(options.cuda.gpus);  // until the devices do
  if (!contexts) return tl::unexpected<Error>(contexts.error());
  SLUICE_ASSIGN(memory, make_host_memory(options, supplied));
  std::shared_ptr<Engine> engine(new Engine(settled, std::move(memory)), [](Engine* last) {
    const os::Uncancelled whole_call;
    delete last;
  });
  SLUICE_TRY(engine->open_devices(supplied));
  SLUICE_TRY(engine->start());
  engine->open_.store(true, std::memory_order_release);
  spaces::enter(engine, engine->memory_->window());
  return engine;
}

Engine::Engine(const SpaceOptions& options, std::unique_ptr<os::HostMemory> memory)
    : options_(options),
      number_(spaces::next_number()),
      memory_(std::move(memory)),
      ranges_(memory_->window()),
      host_budget_(options.host_budget) {}

Result<void> Engine::start() {
  trace_file_.begin(observer_);
  std::vector<std::size_t> budgets;
  for (const auto& device : devices_) {
    const std::size_t whole = device->traits().memory_size;
    budgets.push_back(options_.device_budget == 0 ? whole
                                                  : std::min(options_.device_budget, whole));
  }
  if (options_.strict != Strict::off)
    strict_ = std::make_unique<StrictMode>(options_.strict, timelines_, devices_);
  gate_ = std::make_unique<Gate>(devices_.size(), timelines_);
  stages_ = std::make_unique<Stages>(devices_, timelines_, observer_);
  room_ = std::make_unique<Room>(devices_, std::move(budgets), ranges_, *gate_, *stages_, observer_,
                                 abilities_, launches_);
  relocations_ =
      std::make_unique<Relocations>(RelocationParts{devices_, timelines_, ranges_, *gate_, *room_,
                                                    observer_, *memory_, host_budget_},
                                    bounded(options_.stop_interval));
  mappings_ = std::make_unique<Mappings>(*this);
  SLUICE_ASSIGN(source, fault::open_fault_source({options_.best_grade, options_.handler_threads},
                                                 *memory_, *this));
  source_ = std::move(source);
  abilities_.host_can_share = source_->can_share();
  stages_->use(*source_);
  SLUICE_TRY(parked_.start(*source_));
  ahead_.resize(ahead_threads());
  for (auto& worker : ahead_)
    SLUICE_TRY(worker.start("sluice-ahead", [this](const AheadJob& job) { fetch_ahead(job); }));
  SLUICE_TRY(
      prefetches_.start("sluice-prefetch", [this](const PrefetchJob& job) { run_prefetch(job); }));
  device_answers_ = std::make_unique<DeviceAnswers>(*this);
  return device_events_.start("sluice-devices",
                              [this](const DeviceEvent& event) { run_device_event(event); });
}

Engine::~Engine() {
  spaces::leave(*this);
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
  if (mappings_ != nullptr) {
    // Kernels must end before their memory does; a lost device has none.
    synchronize_at_end();
    mappings_->stop();
    while (std::unique_ptr<Range> range = ranges_.remove_any()) end_range(std::move(range));
  }
  if (strict_ != nullptr) strict_->summarize();
  closing_ = true;
  parked_.stop();
  device_events_.stop();
  // The devices' own threads end here. What they still say is heard by nobody.
  devices_.clear();
  trace_file_.end(observer_);
}

// As synchronize(), for what nobody hears the outcome of. It needs no memory.
void Engine::synchronize_at_end() noexcept {
  while (true) {
    std::optional<device::Fence> pending;
    {
      MutexLock lock(gate_->mutex);
      for (const ActiveUse& use : gate_->latest())
        if (timelines_.is_pending(use.fence)) pending = use.fence;
    }
    if (!pending) break;
    (void)timelines_.wait(*pending, {});
  }
  (void)timelines_.wait(timelines_.host.latest(), {});
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
