// Space: the engine's members under their public names.
//
// It adds handles instead of numbers, overflow checks for sizes computed from a count or a
// container, and results that are values. The engine makes all checks that depend on the state of a
// space.
#include "sluice/space.hpp"

#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {

Result<Space> Space::open(const SpaceOptions& options) {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(engine, engine::Engine::open(options));
  return Space(std::move(engine));
}

// --- ranges --------------------------------------------------------------------------------------

Result<Range> Space::allocate(std::size_t size, Kind kind, HostPages pages,
                              std::string_view name) const {
  const os::Uncancelled whole_call;
  if (kind == Kind::device) {
    return fail(ErrorCode::invalid_argument,
                "a range of kind device needs a device: use allocate_on_device");
  }
  const std::string own_name(name);  // as in kernel()
  SLUICE_ASSIGN(base, engine_->allocate(size, kind, -1, pages, own_name));
  return Inside::range(engine_, base, size, kind);
}

Result<Range> Space::allocate_on_device(int device, std::size_t size, std::string_view name) const {
  const os::Uncancelled whole_call;
  const std::string own_name(name);  // as in kernel()
  SLUICE_ASSIGN(base,
                engine_->allocate(size, Kind::device, device, HostPages::automatic, own_name));
  return Inside::range(engine_, base, size, Kind::device);
}

Result<Range> Space::allocate_array(std::size_t count, std::size_t element_size, Kind kind,
                                    std::string_view name) const {
  std::size_t size = 0;
  if (__builtin_mul_overflow(count, element_size, &size)) {
    return fail(ErrorCode::invalid_argument,
                "%zu elements of %zu bytes are more than an address can count", count,
                element_size);
  }
  return allocate(size, kind, HostPages::automatic, name);
}

Result<void> Space::free(void* base) const {
  const os::Uncancelled whole_call;
  if (base == nullptr) return {};
  return engine_->free(Address::of(base), engine::FreeMode::wait);
}

Result<void> Space::free_if_idle(void* base) const {
  const os::Uncancelled whole_call;
  if (base == nullptr) return {};
  return engine_->free(Address::of(base), engine::FreeMode::refuse);
}

// --- launches ------------------------------------------------------------------------------------

Result<Queue> Space::queue(int device) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(status, engine_->device_status(device));
  SLUICE_ASSIGN(number, engine_->create_queue(device));
  return Inside::queue(engine_, device, number, status.traits.argument_limit);
}

Result<Kernel> Space::kernel(int device, std::string_view module, std::string_view name) const {
  const os::Uncancelled whole_call;
  // Names may lie in managed memory, which the engine must not touch.
  const std::string own_module(module);
  const std::string own_name(name);
  SLUICE_ASSIGN(id, engine_->find_kernel(device, own_module, own_name));
  return Inside::kernel(device, engine_->number(), id);
}

Result<void> Space::synchronize(OnSignal on_signal) const {
  return synchronize_until(Fence::Clock::time_point::max(), on_signal);
}

Result<void> Space::synchronize_until(Fence::Clock::time_point deadline, OnSignal on_signal) const {
  const os::Uncancelled whole_call;
  return engine_->synchronize({deadline, on_signal == OnSignal::return_interrupted});
}

// --- hints and data ------------------------------------------------------------------------------

Result<Fence> Space::prefetch(const void* data, std::size_t size, Location to) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(fence, engine_->prefetch(span_of(data, size), to));
  return Inside::fence(engine_, fence);
}

Result<void> Space::advise(const void* data, std::size_t size, AdviceKind kind,
                           Location location) const {
  const os::Uncancelled whole_call;
  return engine_->advise(span_of(data, size), kind, location);
}

Result<void> Space::discard(void* data, std::size_t size) const {
  const os::Uncancelled whole_call;
  return engine_->discard(span_of(data, size));
}

Result<void> Space::copy(void* to, const void* from, std::size_t size) const {
  const os::Uncancelled whole_call;
  return engine_->copy(to, from, size);
}

Result<Lease> Space::lease(const void* data, std::size_t size, Location location,
                           Access access) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(id, engine_->lease(span_of(data, size), location, access));
  return Inside::lease(engine_, id);
}

// --- queries -------------------------------------------------------------------------------------

Result<RangeInfo> Space::range_of(const void* address) const {
  const os::Uncancelled whole_call;
  return engine_->range_of(Address::of(address));
}

Result<Residency> Space::residency(const void* address) const {
  const os::Uncancelled whole_call;
  return engine_->residency(Address::of(address));
}

Result<ResidencySummary> Space::residency(const void* data, std::size_t size) const {
  const os::Uncancelled whole_call;
  return engine_->residency(span_of(data, size));
}

Result<Attributes> Space::attributes(const void* address) const {
  const os::Uncancelled whole_call;
  return engine_->attributes(Address::of(address));
}

std::string Space::explain(const void* address) const {
  const os::Uncancelled whole_call;
  return engine_->explain(Address::of(address));
}

SpaceStatus Space::status() const {
  const os::Uncancelled whole_call;
  engine::Status status = engine_->status();
  return {
      .grade = status.grade,
      .grade_reason = std::move(status.grade_reason),
      .shares_reads = status.shares_reads,
      .host_pages = status.host_pages,
      .address_space = status.address_space,
      .ranges = status.ranges,
      .bytes = status.bytes,
      .strict = status.strict,
      .strict_reason = std::move(status.strict_reason),
      .native_atomics = status.native_atomics,
      .no_private_tmpfs = std::move(status.no_private_tmpfs),
      .host_pool = status.host_pool,
      .host_pooled = status.host_pooled,
      .published = status.published,
  };
}

std::vector<Finding> Space::findings() const {
  const os::Uncancelled whole_call;
  return engine_->findings();
}

Counters Space::counters() const noexcept { return engine_->observer().read_counters(); }

Trace Space::trace() const noexcept { return Inside::trace(engine_); }

std::optional<std::string> Space::check() const {
  const os::Uncancelled whole_call;
  return engine_->check();
}

// --- devices -------------------------------------------------------------------------------------

int Space::device_count() const noexcept { return engine_->device_count(); }

Result<DeviceInfo> Space::device(int number) const {
  const os::Uncancelled whole_call;
  SLUICE_ASSIGN(status, engine_->device_status(number));
  return DeviceInfo{
      .number = number,
      .name = std::move(status.traits.name),
      .memory_size = status.traits.memory_size,
      .budget = status.budget,
      .in_use = status.in_use,
      .argument_limit = status.traits.argument_limit,
      .copy_engines = status.traits.copy_engines,
      .recoverable_faults = status.traits.recoverable_faults,
      .maps_host_memory = status.traits.maps_host_ranges,
      .copies_from_peers = status.traits.copies_from_peers,
      .native_atomics = status.traits.native_atomics,
      .read_only_mappings = status.traits.read_only_mappings,
      .lost = status.lost,
      .queue_stops = status.stops.count,
      .stopped_for = status.stops.time,
      .stop_interval = status.stops.interval,
  };
}

Result<void> Space::reset_device(int number) const {
  const os::Uncancelled whole_call;
  return engine_->reset_device(number);
}

Result<void> Space::plan_faults(int device, std::string_view plan) const {
  const os::Uncancelled whole_call;
  const std::string own_plan(plan);  // as in kernel()
  return engine_->plan_faults(device, own_plan);
}

}  // namespace sluice
