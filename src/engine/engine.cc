// The engine's public calls: how a space opens and closes, and what a program may ask of it.
//
// Journey 1, a host access to a page without sufficient rights, begins in host_access.cc, on a
// thread of the fault source. Journey 2, a launch, begins in launches.cc, on the caller's thread.
// Journey 3, mapping a range on several devices, begins in mapping_run.cc, on a thread of the
// engine, and its caller waits. Every call of a program comes through here: the engine checks that
// it may be made at all (Mappings, which it hands out, checks that itself), and the responsible
// part does the rest. What it does not do: anything else. core.hpp and parts.hpp list the parts.
#include "engine/engine.hpp"

#include <chrono>
#include <utility>

#include "device/backends.hpp"
#include "device/soft/soft_device.hpp"
#include "engine/copy.hpp"
#include "engine/core.hpp"
#include "engine/parts.hpp"
#include "engine/spaces.hpp"
#include "os/uncancelled.hpp"

namespace sluice::engine {
namespace {

// Limits: more than any process can address, and more handlers than any machine can use.
constexpr std::size_t most_memory = std::size_t{1} << 47;
constexpr int most_handler_threads = 256;

Result<std::unique_ptr<os::HostMemory>> make_host_memory(const SpaceOptions& options,
                                                         const device::AddressNeeds& needs,
                                                         const ExternalBackends& external) {
  if (external.window) {
    SLUICE_ASSIGN(window, os::AddressWindow::adopt(*external.window));
    return os::HostMemory::create(std::move(window), options.host_pages);
  }
  return os::HostMemory::reserve(round_up(options.address_space, block_size), needs.outside,
                                 options.host_pages);
}

}  // namespace

// --- opening and closing -------------------------------------------------------------------------

Result<std::shared_ptr<Engine>> Engine::open(const SpaceOptions& options,
                                             const ExternalBackends& external) {
  if (options.address_space > most_memory)
    return fail(ErrorCode::invalid_argument, "address_space is %zu; it must be at most %zu",
                options.address_space, most_memory);
  if (options.access_window % page_size != 0)
    return fail(ErrorCode::invalid_argument, "access_window is %zu; it must be a multiple of %zu",
                options.access_window, page_size);
  if (options.access_timeout < std::chrono::milliseconds(0))
    return fail(ErrorCode::invalid_argument,
                "access_timeout is %lld ms; it must be at least 0, which is no limit",
                static_cast<long long>(options.access_timeout.count()));
  if (options.stop_interval < std::chrono::milliseconds(1))
    return fail(ErrorCode::invalid_argument, "stop_interval is %lld ms; it must be at least 1",
                static_cast<long long>(options.stop_interval.count()));
  if (options.handler_threads != 0 &&
      (options.handler_threads < 2 || options.handler_threads > most_handler_threads))
    return fail(ErrorCode::invalid_argument, "handler_threads is %d; it must be 2 to %d, or 0",
                options.handler_threads, most_handler_threads);

  SpaceOptions resolved = options;
  SLUICE_ASSIGN(strict, StrictMode::wanted(options.strict));
  resolved.strict = strict;
  SLUICE_ASSIGN(named, device::named_devices(resolved, strict != Strict::off));
  if (named != nullptr) SLUICE_TRY(named->prepare());
  const device::AddressNeeds needs =
      named != nullptr ? named->address_needs() : device::AddressNeeds{};
  SLUICE_ASSIGN(memory, make_host_memory(options, needs, external));
  std::shared_ptr<Engine> engine(new Engine(resolved, std::move(memory)), [](Engine* last) {
    const os::Uncancelled whole_call;
    delete last;
  });
  SLUICE_TRY(engine->start(named.get(), external));
  engine->core_->events.open();
  const std::shared_ptr<RangeBytes> bytes(engine, &engine->parts_->bytes);
  spaces::enter(bytes, engine->core_->memory->window());
  return engine;
}

Engine::Engine(const SpaceOptions& options, std::unique_ptr<os::HostMemory> memory)
    : number_(spaces::next_number()), core_(std::make_unique<Core>(options, std::move(memory))) {}

Result<void> Engine::start(device::DeviceGroup* named, const ExternalBackends& external) {
  SLUICE_TRY(core_->open_devices(named, external));
  const bool is_traced = trace_file_.begin(core_->observer);
  SLUICE_TRY(core_->start());
  if (is_traced) {
    core_->kernels =
        std::make_unique<KernelWatch>(core_->devices, core_->timelines, core_->observer);
    SLUICE_TRY(core_->kernels->start());
  }
  parts_ = std::make_unique<Parts>(*core_);
  SLUICE_TRY(parts_->start(*core_));
  if (is_traced) write_trace();
  publisher_.start(number_, [this](observe::StatusPage& page) { parts_->queries.describe(page); });
  return {};
}

void Engine::write_trace() {
  TraceQuestions questions;
  questions.grade = to_string(core_->source->grade());
  for (const auto& device : core_->devices) questions.devices.push_back(device->traits().name);
  questions.resident = [this](std::vector<std::uint64_t>& bytes) {
    parts_->queries.count_resident(bytes);
  };
  questions.kernels_left_out = [this] { return core_->kernels->left_out(); };
  trace_file_.write(std::move(questions));
}

Engine::~Engine() {
  if (parts_ != nullptr) spaces::leave(parts_->bytes);
  if (inherited()) {
    // A forked child has the memory of the engine, but not its threads.
    publisher_.forget();
    core_->host_access.forget();
    core_->events.queue().forget();
    if (core_->kernels != nullptr) core_->kernels->forget();
    trace_file_.end();
    if (parts_ == nullptr) return;
    parts_->prefetcher.forget();
    parts_->mappings.forget();
    parts_->allocator.forget();
    return;
  }
  publisher_.stop();
  if (parts_ != nullptr) parts_->prefetcher.stop();
  core_->host_access.stop_reading_ahead();
  if (parts_ != nullptr) {
    // Kernels must end before their memory does; a lost device has none.
    parts_->fences.synchronize_at_end();
    if (core_->kernels != nullptr) core_->kernels->stop();
    parts_->mappings.stop();
    parts_->allocator.free_all();
  }
  if (core_->strict != nullptr) core_->strict->summarize();
  core_->events.queue().close();
  core_->host_access.stop();
  core_->events.queue().stop();
  trace_file_.end();
  // The devices' own threads end here. Their last events are ignored.
  core_->devices.clear();
}

// --- ranges --------------------------------------------------------------------------------------

Result<Address> Engine::allocate(std::size_t size, Kind kind, int device, HostPages pages,
                                 std::string_view name) {
  SLUICE_TRY(core_->checks.alive());
  return parts_->allocator.allocate(size, kind, device, pages, name);
}

Result<void> Engine::free(Address base, FreeMode mode) {
  SLUICE_TRY(core_->checks.alive());
  if (mode == FreeMode::unmap) return parts_->mappings.free(base);
  SLUICE_ASSIGN(range, parts_->allocator.find_base(base));
  return parts_->allocator.free(std::move(range), mode);
}

Result<void> Engine::copy(void* to, const void* from, std::size_t size) {
  SLUICE_TRY(core_->checks.alive());
  return engine::copy(to, from, size);
}

Result<LeaseId> Engine::lease(AddressSpan span, Location location, Access access) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_location(location));
  return parts_->leases.begin(span, location, access);
}

void Engine::end_lease(LeaseId lease) noexcept {
  if (!inherited()) parts_->leases.end(lease);
}

Mappings& Engine::mappings() noexcept { return parts_->mappings; }

Result<void> Engine::relocate(AddressSpan span, Location to, MappingReport& report) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_location(to));
  return core_->losses.tell(core_->relocations->relocate(span, to, report));
}

// --- launches and fences -------------------------------------------------------------------------

Result<device::QueueId> Engine::create_queue(int device) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  return core_->losses.tell(core_->devices[device].create_queue());
}

void Engine::destroy_queue(int device, device::QueueId queue) noexcept {
  if (core_->checks.alive() && core_->checks.known_device(device))
    core_->devices[device].destroy_queue(queue);
}

Result<device::KernelId> Engine::find_kernel(int device, std::string_view module,
                                             std::string_view name) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  auto kernel = core_->losses.tell(core_->devices[device].find_kernel(module, name));
  if (!kernel) return kernel;
  if (core_->strict != nullptr) core_->strict->name_kernel(device, *kernel, name);
  core_->observer.launch_places().name_kernel(device, kernel->value, name);
  return kernel;
}

Result<device::Fence> Engine::launch(const LaunchRequest& request) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(request.device));
  return parts_->launches.launch(request);
}

Result<void> Engine::submitted(device::Fence fence, device::ExternalMark mark) {
  SLUICE_TRY(core_->checks.alive());
  return core_->devices[fence.device].external_work()->submitted(fence, mark);
}

void Engine::nothing_submitted(device::Fence fence) noexcept {
  if (core_->checks.alive()) core_->devices[fence.device].external_work()->nothing_submitted(fence);
}

void Engine::let_host_visit() { core_->host_access.allow_visits(); }

void Engine::await_visit() const noexcept { core_->host_access.await_visit(); }

device::FenceState Engine::poll(device::Fence fence) noexcept { return parts_->fences.poll(fence); }

Result<void> Engine::wait(device::Fence fence, const device::Wait& how) {
  SLUICE_TRY(core_->checks.alive());
  return parts_->fences.wait(fence, how);
}

Result<void> Engine::synchronize(const device::Wait& how) {
  SLUICE_TRY(core_->checks.alive());
  return parts_->fences.synchronize(how);
}

// --- hints ---------------------------------------------------------------------------------------

Result<device::Fence> Engine::prefetch(AddressSpan span, Location to) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_location(to));
  return parts_->prefetcher.prefetch(span, to);
}

Result<void> Engine::advise(AddressSpan span, AdviceKind kind, Location location) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_location(location));
  return parts_->hints.advise(span, kind, location);
}

Result<void> Engine::discard(AddressSpan span) {
  SLUICE_TRY(core_->checks.alive());
  return parts_->hints.discard(span);
}

Result<void> Engine::evict(AddressSpan span, int device) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  return parts_->hints.evict(span, device);
}

// --- queries -------------------------------------------------------------------------------------

Result<RangeInfo> Engine::range_of(Address address) const {
  SLUICE_TRY(core_->checks.alive());
  return parts_->queries.range_of(address);
}

Result<Residency> Engine::residency(Address address) const {
  SLUICE_TRY(core_->checks.alive());
  return parts_->queries.residency(address);
}

Result<ResidencySummary> Engine::residency(AddressSpan span) const {
  SLUICE_TRY(core_->checks.alive());
  return parts_->queries.residency(span);
}

Result<Attributes> Engine::attributes(Address address) const {
  SLUICE_TRY(core_->checks.alive());
  return parts_->queries.attributes(address);
}

// In a forked child, a thread that does not exist may hold what a query needs.
std::string Engine::explain(Address address) const {
  if (const auto alive = core_->checks.alive(); !alive) return std::string(alive.error().detail());
  return parts_->queries.explain(address);
}

Status Engine::status() const {
  Status none{};
  if (const auto alive = core_->checks.alive(); !alive) {
    none.grade_reason = alive.error().detail();
    return none;
  }
  Status status = parts_->queries.status();
  status.published = publisher_.is_shown();
  return status;
}

std::vector<Finding> Engine::findings() const {
  if (core_->strict == nullptr || inherited()) return {};
  return core_->strict->findings();
}

int Engine::device_count() const noexcept { return core_->devices.count(); }

Result<DeviceStatus> Engine::device_status(int device) const {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  parts_->allocator.finish_on_devices();  // what is freed is not in use
  return parts_->queries.device_status(device);
}

std::optional<std::string> Engine::check() const {
  return inherited() ? std::nullopt : parts_->queries.check();
}

bool Engine::inherited() const noexcept { return core_->checks.inherited(); }

observe::Observer& Engine::observer() noexcept { return core_->observer; }

fault::FaultSource& Engine::fault_source() noexcept { return *core_->source; }

// --- devices -------------------------------------------------------------------------------------

Result<void> Engine::reset_device(int device) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  device::Device& back_end = core_->devices[device];
  if (!back_end.lost())
    return fail(ErrorCode::invalid_argument,
                "device %d is neither lost nor hung; it needs no reset", device);
  // The device's old holdings must be given up before it may hold anything new.
  core_->losses.await_given_up(device);
  // They have commands for it, and release what they had there.
  parts_->allocator.finish_on_devices();
  SLUICE_TRY(back_end.reset());
  // A device that is lost again before this line has one loss more on its count than resets, too.
  core_->losses.note_reset(device);
  for (Pin& range : core_->ranges.all())
    if (range->kind == Kind::host || range->device == device)
      SLUICE_TRY(parts_->allocator.map_standing(*range, device));
  return {};
}

Result<void> Engine::plan_faults(int device, std::string_view plan) {
  SLUICE_TRY(core_->checks.alive());
  SLUICE_TRY(core_->checks.known_device(device));
  device::Device& back_end = core_->devices[device];
  if (device::soft::SoftwareCalls* const software = device::soft::software_calls(back_end))
    return software->plan_faults(plan);
  return fail(ErrorCode::unsupported, "device %d is a %s; only software devices fail to order",
              device, back_end.traits().name.c_str());
}

device::Device* Engine::back_end(int device) noexcept {
  return core_->devices.has(device) ? &core_->devices[device] : nullptr;
}

AddressSpan Engine::window() const noexcept { return core_->memory->window(); }

}  // namespace sluice::engine
