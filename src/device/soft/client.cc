// The life of a software GPU as its client sees it: opening, death, reset, closing.
//
// A device is lost when its process has ended, whatever ended it; the fleet's thread learns that
// from the pidfd, when the process can no longer write anything. It then fails what was pending, in
// the shared rings, on the device's behalf. A hang becomes a death: the fleet's thread ends the
// process. So there is one way down, and one way up: a new process on the same rings, with a new
// memory file.
//
// What it does not do: keep a device's bytes over a loss. They are gone, as on hardware.
#include "device/soft/client.hpp"

#include <cstdio>
#include <thread>

#include "base/deadline.hpp"
#include "os/errors.hpp"
#include "os/machine.hpp"

namespace sluice::device::soft {
namespace {

constexpr std::size_t granule = std::size_t{64} << 10;
constexpr auto start_limit = std::chrono::seconds(30);
constexpr auto end_limit = std::chrono::seconds(10);
constexpr auto longest_period = std::chrono::milliseconds(2500);  // between two looks at a device

Result<void> check(const SoftOptions& options, const HostMemory& host) {
  if (options.number < 0 || options.number >= max_devices) {
    return fail(ErrorCode::invalid_argument, "device number %d: use 0 to %d", options.number,
                max_devices - 1);
  }
  if (options.memory_size == 0 || options.memory_size % block_size != 0) {
    return fail(ErrorCode::invalid_argument, "device memory of %zu bytes: use a multiple of %zu",
                options.memory_size, block_size);
  }
  if (options.copy_engines < 2 || options.copy_engines > max_copy_engines) {
    return fail(ErrorCode::invalid_argument, "%d copy engines: use 2 to %d", options.copy_engines,
                max_copy_engines);
  }
  if (options.hang_timeout.count() < 1 || options.kernel_timeout.count() < 0) {
    return fail(ErrorCode::invalid_argument,
                "a kernel_timeout of %lld ms, at least 0, or a hang_timeout of %lld ms, at least 1",
                static_cast<long long>(options.kernel_timeout.count()),
                static_cast<long long>(options.hang_timeout.count()));
  }
  if (host.file < 0 || host.window.size == 0 || host.window.begin.value % page_size != 0) {
    return fail(ErrorCode::invalid_argument, "host memory: file %d, window of %zu bytes", host.file,
                host.window.size);
  }
  return {};
}

Traits traits_of(const SoftOptions& options) {
  Traits traits;
  traits.name = "software GPU " + std::to_string(options.number);
  traits.memory_size = options.memory_size;
  traits.mapping_granule = granule;
  traits.argument_limit = argument_capacity;
  traits.copy_engines = options.copy_engines;
  traits.recoverable_faults = options.recoverable_faults;
  traits.limits_launches = options.limits_launches;
  traits.maps_host_memory = true;
  traits.read_only_mappings = true;
  traits.native_atomics = true;  // its kernels run on the machine's own CPUs
  traits.maps_host_ranges = true;
  traits.host_granule = granule;
  traits.copies_from_peers = true;
  traits.maps_peers = true;
  return traits;
}

SoftOptions adjusted(SoftOptions options) {
  options.hang_timeout = bounded(options.hang_timeout);
  options.kernel_timeout = bounded(options.kernel_timeout);
  if (os::usable_cpus() < 2) options.spin = std::chrono::microseconds(0);
  return options;
}

}  // namespace

Result<std::unique_ptr<Device>> open(const SoftOptions& options, const HostMemory& host,
                                     EventSink& sink) {
  SLUICE_TRY(check(options, host));
  auto device = std::make_unique<SoftDevice>(options, host, sink);
  SLUICE_TRY(device->start());
  return device;
}

SoftDevice::SoftDevice(const SoftOptions& options, const HostMemory& host, EventSink& sink)
    : options_(adjusted(options)),
      host_(host),
      sink_(sink),
      traits_(traits_of(options)),
      plan_(options.number),
      buddy_(options.memory_size),
      loss_(ErrorCode::device_lost, "device %d: never started", options.number) {}

Result<void> SoftDevice::start() {
  SLUICE_TRY(plan_.replace(options_.fault_plan));
  if (inject_fault(Step::open)) return fail(ErrorCode::system, "open: failed as planned");
  SLUICE_ASSIGN(control, SharedMemory::create("sluice-control", sizeof(ControlArea)));
  control_memory_ = std::move(control);
  control_ = reinterpret_cast<ControlArea*>(control_memory_.bytes());
  condition_.control = control_;
  for (int ring = 0; ring < ring_count; ++ring)
    rings_[ring].attach(condition_, ring, options_.spin);
  auto period = options_.hang_timeout;
  if (options_.kernel_timeout.count() != 0) period = std::min(period, options_.kernel_timeout);
  SLUICE_TRY(make_memory());
  SLUICE_TRY(
      Fleet::instance().join({&sink_, options_.number}, *this,
                             std::clamp(period / 4, std::chrono::milliseconds(1), longest_period)));
  SLUICE_TRY(start_process());
  SLUICE_ASSIGN(events, os::Thread::start("sluice-soft", [this] { run_events(); }));
  events_ = std::move(events);
  return {};
}

SoftDevice::~SoftDevice() {
  if (mark_.inherited()) {
    events_.forget();
    return;
  }
  if (const auto process = child()) {
    process->kill();
    process->await_end(end_limit);
  }
  Fleet::instance().leave(*this);
  closing_ = true;
  if (control_ != nullptr) {
    control_->events.fetch_add(1);
    os::futex_wake_all(control_->events);
  }
  events_.join();
  const MutexLock lock(tables_mutex_);
  memory_.discard();
}

Result<void> SoftDevice::make_memory() {
  SLUICE_ASSIGN(fresh, SharedMemory::create("sluice-device", options_.memory_size));
  madvise(fresh.bytes(), fresh.size(), MADV_HUGEPAGE);  // may be refused
  const MutexLock lock(tables_mutex_);
  memory_.discard();
  memory_ = std::move(fresh);
  buddy_ = Buddy(options_.memory_size);
  introduced_.fill(0);
  kernel_names_.clear();
  known_kernels_ = 0;
  condition_.generation.fetch_add(1);
  return {};
}

Settings SoftDevice::settings() const noexcept {
  return {.window_begin = host_.window.begin.value,
          .window_size = host_.window.size,
          .memory_size = options_.memory_size,
          .number = static_cast<std::uint32_t>(options_.number),
          .copy_engines = static_cast<std::uint32_t>(options_.copy_engines),
          .recoverable_faults = options_.recoverable_faults ? 1U : 0U,
          .spin_us = static_cast<std::uint32_t>(options_.spin.count()),
          .limits_launches = options_.limits_launches ? 1U : 0U,
          .reserved = 0};
}

Result<void> SoftDevice::start_process() {
  int memory_file = -1;
  {
    const MutexLock lock(tables_mutex_);
    memory_file = memory_.file();
  }
  if (memory_file < 0 || control_memory_.file() < 0 || (host_.is_intact && !host_.is_intact()))
    return fail(
        ErrorCode::system,
        "the program closed descriptors of this library, of the memory of device %d or of the "
        "host; no process can be started for it",
        options_.number);
  control_->death_cause.store(death_unknown);
  control_->stopping.store(stopped_.load() ? 1 : 0);
  auto fresh = std::make_shared<Child>();
  SLUICE_TRY(fresh->start(settings(), host_.window,
                          {control_memory_.file(), memory_file, host_.file}, start_limit));
  {
    const MutexLock lock(tables_mutex_);
    child_ = fresh;
    hung_ring_ = -1;
  }
  SLUICE_TRY(start_open_queues(*fresh));
  standstills_.fill(Standstill(Clock::now()));
  condition_.nonsense_on.store(Condition::sound);
  condition_.lost.store(false, std::memory_order_release);
  Fleet::instance().watch(*this, fresh->pidfd());
  return {};
}

// A queue that a thread is just creating is started by that thread.
Result<void> SoftDevice::start_open_queues(Child& process) {
  std::array<bool, max_kernel_queues> open{};
  {
    const MutexLock lock(tables_mutex_);
    for (int queue = 0; queue < max_kernel_queues; ++queue) {
      QueueState& state = queues_[queue];
      open[queue] = state.started = state.open && !state.starting;
    }
  }
  for (int queue = 0; queue < max_kernel_queues; ++queue) {
    if (open[queue])
      SLUICE_TRY(process.start_queue(first_kernel_ring + queue, options_.hang_timeout));
  }
  return {};
}

std::shared_ptr<Child> SoftDevice::child() const noexcept {
  const MutexLock lock(tables_mutex_);
  return child_;
}

tl::unexpected<Error> SoftDevice::lost_error() const noexcept {
  if (mark_.inherited()) {
    return fail(ErrorCode::device_lost,
                "device %d belongs to the process that opened it, not to its forked child",
                options_.number);
  }
  const MutexLock lock(tables_mutex_);
  return tl::unexpected<Error>(loss_);
}

// On the fleet's thread. From here on the rings are written by this process alone.
void SoftDevice::process_ended() noexcept {
  {
    const MutexLock lock(tables_mutex_);
    loss_ = describe_death();
    loss_generation_ = condition_.generation.load();
  }
  loss_news_ = LossNews::failing;
  condition_.lost.store(true, std::memory_order_release);
  const Failure failure{FailureKind::lost, 0, condition_.generation.load(), 0};
  for (RingWriter& ring : rings_) ring.fail_pending(failure);
  loss_news_ = LossNews::untold;
  os::futex_wake_all(loss_news_);
  control_->rested.fetch_add(1);
  os::futex_wake_all(control_->rested);
  control_->events.fetch_add(1);
  os::futex_wake_all(control_->events);
}

// Waiters look again, which also makes up for wakes that a device has lost count of.
void SoftDevice::look_for_hang() noexcept {
  const auto now = Clock::now();
  for (const RingWriter& ring : rings_) ring.nudge();
  if (stopped_.load()) {
    control_->rested.fetch_add(1);
    os::futex_wake_all(control_->rested);
  }
  control_->events.fetch_add(1);
  os::futex_wake_all(control_->events);
  for (int ring = 0; ring < ring_count; ++ring) {
    if (!hangs(ring, now)) continue;
    const MutexLock lock(tables_mutex_);
    hung_ring_ = ring;
    child_->kill();
    return;
  }
  if (condition_.nonsense_on.load() != Condition::sound) end_process();
}

void SoftDevice::end_process() noexcept {
  if (const auto process = child()) process->kill();
}

// A running kernel has its own timeout, which may be none; a launch that is not started is never a
// kernel's fault.
bool SoftDevice::hangs(int ring_index, Clock::time_point now) noexcept {
  const Ring& ring = control_->rings[ring_index];
  const std::uint64_t running = ring.running.load(std::memory_order_relaxed);
  const std::uint64_t command = running & ~Ring::waits;
  const Standstill::Progress progress{ring.completed.load(std::memory_order_relaxed), command,
                                      ring.progress.load(std::memory_order_relaxed)};
  const bool has_kernels = ring_index >= first_kernel_ring;
  if (command > rings_[ring_index].newest()) condition_.distrust(ring_index);
  const bool waits = has_kernels && (running & Ring::waits) != 0;
  const bool in_kernel = has_kernels && !waits && command != 0;
  const auto limit = has_kernels && (in_kernel || options_.kernel_timeout.count() != 0)
                         ? options_.kernel_timeout
                         : options_.hang_timeout;
  const bool may_stand = limit.count() == 0 || rings_[ring_index].idle() ||
                         (waits && waits_rightly(ring_index, command));
  return standstills_[ring_index].is_seen(progress, may_stand, limit, now);
}

bool SoftDevice::another_runs(int ring_index) const noexcept {
  for (int ring = first_kernel_ring; ring < ring_count; ++ring) {
    const std::uint64_t running = control_->rings[ring].running.load(std::memory_order_relaxed);
    if (ring != ring_index && running != 0 && (running & Ring::waits) == 0) return true;
  }
  return false;
}

// A launch may wait forever for launches that are not complete, and for queues that are stopped;
// where launches are limited, also for the kernel of any other queue.
bool SoftDevice::waits_rightly(int ring_index, std::uint64_t launch) const noexcept {
  if (stopped_.load()) return true;
  if (options_.limits_launches && another_runs(ring_index)) return true;
  Ring& ring = control_->rings[ring_index];
  const Slot& slot = ring.slot(launch);
  if (slot.value.load(std::memory_order_acquire) != launch) return false;
  const auto& dependencies = ring.payload(launch).launch.dependencies;
  const std::size_t count = std::min<std::size_t>(slot.count, dependencies.size());
  return std::any_of(dependencies.begin(), dependencies.begin() + count,
                     [this](const Dependency& on) {
                       return on.timeline() < ring_count &&
                              rings_[on.timeline()].poll(on.value()) == FenceState::pending;
                     });
}

Result<void> SoftDevice::await_loss() {
  const Deadline deadline = Deadline::after(end_limit);
  while (!condition_.lost.load(std::memory_order_acquire)) {
    if (deadline.has_passed())
      return fail(ErrorCode::timed_out, "device %d: its process does not end", options_.number);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // A new process would run commands that are still pending; they were prepared for the old one's
  // memory. And the engine hears of this loss before the device is back, or it would take the new
  // device for the lost one.
  const bool in_the_engines_answer = pthread_equal(events_id_.load(), pthread_self()) != 0;
  const std::uint32_t enough = in_the_engines_answer ? LossNews::untold : LossNews::none;
  for (std::uint32_t news = loss_news_; news > enough; news = loss_news_)
    os::futex_wait(loss_news_, news, Clock::time_point::max());
  return {};
}

bool SoftDevice::inject_fault(Step step, bool interruptible) const noexcept {
  const PlannedFault fault = plan_.next(step, interruptible);
  if (fault.what == PlannedAction::slow)
    std::this_thread::sleep_for(std::chrono::milliseconds(fault.milliseconds));
  if (fault.what == PlannedAction::kill) {
    if (const auto process = child()) process->kill();
  }
  return fault.what == PlannedAction::fail || fault.what == PlannedAction::interrupt;
}

Result<void> SoftDevice::reset() {
  if (mark_.inherited()) return lost_error();
  if (resetting_.exchange(true))
    return fail(ErrorCode::busy, "device %d is being reset by another thread", options_.number);
  const auto run = [this]() -> Result<void> {
    if (inject_fault(Step::reset)) return fail(ErrorCode::system, "reset: failed as planned");
    if (!condition_.lost.load(std::memory_order_acquire)) child()->kill();
    SLUICE_TRY(await_loss());
    SLUICE_TRY(make_memory());
    return start_process();
  };
  auto done = run();
  resetting_ = false;
  return done;
}

Result<Allocation> SoftDevice::allocate(std::size_t size) {
  if (!usable()) return lost_error();
  if (size == 0 || size % page_size != 0 || size > block_size) {
    return fail(ErrorCode::invalid_argument,
                "an allocation of %zu bytes: use a multiple of %zu up to %zu", size, page_size,
                block_size);
  }
  const bool refused = inject_fault(Step::allocate);
  const MutexLock lock(tables_mutex_);
  const auto offset = refused ? std::nullopt : buddy_.allocate(size);
  if (!offset) {
    return fail(ErrorCode::out_of_device_memory,
                "device %d: no allocation of %zu bytes is free (%zu of %zu bytes in use)%s",
                options_.number, size, buddy_.in_use(), options_.memory_size,
                refused ? ", as planned" : "");
  }
  return Allocation{AllocationHandle{condition_.generation.load(), *offset, size}.packed(), size};
}

void SoftDevice::release(Allocation allocation) noexcept {
  const MutexLock lock(tables_mutex_);
  const AllocationHandle handle = AllocationHandle::of(allocation.handle);
  // An allocation from before a reset is gone already.
  if (handle.generation == (condition_.generation.load() & 0xffff) &&
      buddy_.is_allocated(handle.offset)) {
    buddy_.release(handle.offset, handle.size);
  }
}

std::size_t SoftDevice::memory_in_use() const noexcept {
  const MutexLock lock(tables_mutex_);
  return buddy_.in_use();
}

std::byte* SoftDevice::view(Place place) const noexcept {
  const MutexLock lock(tables_mutex_);
  return memory_.bytes() + AllocationHandle::of(place.allocation).offset + place.offset;
}

SoftwareCalls* software_calls(Device& device) noexcept {
  return dynamic_cast<SoftwareCalls*>(&device);
}

std::byte* client_view(const Device& soft_device, Place place) noexcept {
  return static_cast<const SoftDevice&>(soft_device).view(place);
}

}  // namespace sluice::device::soft
