// Mappings: which thread runs an operation, which calls may attach to it, and how they wait for it.
//
// An operation waits for kernels and for devices, so it runs on a thread of its own: its caller can
// then be interrupted, or come back for the result, and nothing has to be undone or done twice.
// Threads are started when all others are busy, and kept; so one operation behind an endless kernel
// stops no other. Cost: one hand-over to a sleeping thread and one wake-up back, 10 to 30 us; the
// rest is the devices'. What it does not do: cancel an operation. Its deadline belongs to its
// waiters; an operation that hangs on a device ends by the device's own limit.
#include "engine/mappings.hpp"

#include <algorithm>
#include <new>

#include "fault/engine_threads.hpp"
#include "os/futex.hpp"

namespace sluice::engine {
namespace {

using Clock = device::Clock;

Result<void> check_words(const mapping::Request& request) {
  if (request.parts.empty()) return fail(ErrorCode::invalid_argument, "no parts to map or unmap");
  if (request.devices.empty())
    return fail(ErrorCode::invalid_argument, "no devices to map on or unmap from");
  DeviceSet seen;
  for (const int device : request.devices) {
    if (seen.contains(device))
      return fail(ErrorCode::invalid_argument, "device %d is named twice", device);
    seen.insert(device);
  }
  return {};
}

}  // namespace

Result<std::vector<Pin>> Mappings::pin_parts(const mapping::Request& request) const {
  std::vector<Pin> ranges;
  for (const AddressSpan& part : request.parts) {
    SLUICE_ASSIGN(range, parts_.ranges.find_whole(part));
    if (range->kind == Kind::host)
      return fail(ErrorCode::unsupported,
                  "%#lx is of Kind::host, which every device reaches from allocation to free",
                  part.begin.value);
    ranges.push_back(std::move(range));
  }
  return ranges;
}

// --- starting, attaching, resuming ---------------------------------------------------------------

Result<Mappings::Task> Mappings::start(const mapping::Request& request,
                                       Clock::time_point deadline) {
  SLUICE_TRY(parts_.checks.alive());
  for (const int device : request.devices) SLUICE_TRY(parts_.checks.known_device(device));
  SLUICE_TRY(check_words(request));
  SLUICE_ASSIGN(ranges, pin_parts(request));
  const MutexLock lock(mutex_);
  for (const Task& task : under_way_) {
    if (task->request != request) continue;
    const MutexLock task_lock(task->mutex);
    if (task->deadline <= Clock::now()) task->deadline = deadline;
    return task;
  }
  auto task = std::make_shared<MappingTask>(request, deadline);
  SLUICE_TRY(enqueue(task, std::move(ranges)));
  return task;
}

Result<void> Mappings::resume(const Task& task, Clock::time_point deadline) {
  SLUICE_TRY(parts_.checks.alive());
  SLUICE_ASSIGN(ranges, pin_parts(task->request));
  const MutexLock lock(mutex_);
  if (!task->done) return {};
  {
    const MutexLock task_lock(task->mutex);
    task->operation.restart();
    task->deadline = deadline;
  }
  return enqueue(task, std::move(ranges));
}

Result<void> Mappings::enqueue(const Task& task, std::vector<Pin> ranges) {
  // All allocations come first: from here on the operation is under way, and completes.
  under_way_.reserve(under_way_.size() + 1);
  threads_.reserve(most_threads);
  queue_.push_back(task);
  if (queue_.size() > idle_ && threads_.size() < most_threads) {
    auto thread = os::Thread::start("sluice-map", [this] { work(); });
    if (!thread && threads_.empty()) {
      queue_.pop_back();
      return tl::unexpected<Error>(thread.error());
    }
    if (thread) threads_.push_back(std::move(*thread));
  }
  task->ranges = std::move(ranges);
  for (const Pin& range : task->ranges) range->begin_mapping_operation();
  task->done = false;
  under_way_.push_back(task);
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_one(bell_);
  return {};
}

// --- the threads ---------------------------------------------------------------------------------

Mappings::Task Mappings::next(bool was_idle) {
  const MutexLock lock(mutex_);
  if (was_idle) --idle_;
  if (queue_.empty()) {
    ++idle_;
    return nullptr;
  }
  Task task = std::move(queue_.front());
  queue_.pop_front();
  return task;
}

void Mappings::work() {
  fault::mark_engine_thread();
  for (bool idle = false;;) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    const Task task = next(idle);
    idle = task == nullptr;
    if (task != nullptr) {
      MappingRun::run(parts_.run, *task);
      complete(task);
    } else if (stopping_) {
      return;
    } else {
      os::futex_wait(bell_, heard, Clock::time_point::max());
    }
  }
}

void Mappings::complete(const Task& task) {
  // free() may go on before the waiters are woken.
  for (const Pin& range : task->ranges) range->end_mapping_operation();
  task->ranges.clear();
  const MutexLock lock(mutex_);
  std::erase(under_way_, task);
  {
    const MutexLock task_lock(task->mutex);
    task->operation.finish();
  }
  task->done = true;
  task->ends.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(task->ends);
}

void Mappings::stop() noexcept {
  stopping_ = true;
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(bell_);
  std::vector<os::Thread> threads;
  {
    const MutexLock lock(mutex_);
    threads.swap(threads_);
  }
  for (os::Thread& thread : threads) thread.join();
}

// A forked child has one thread; a thread that does not exist there may hold the mutex.
void Mappings::forget() noexcept {
  forgotten_ = true;
  for (os::Thread& thread : threads_) thread.forget();
}

// --- waiting and asking --------------------------------------------------------------------------

Result<void> Mappings::sleep_until_done(MappingTask& task, const device::Wait& how) const {
  while (!task.done) {
    const std::uint32_t heard = task.ends.load(std::memory_order_acquire);
    if (task.done) break;
    const auto until = how.interruptible ? os::interruptible_until(how.deadline) : how.deadline;
    const os::FutexResult woken = os::futex_wait(task.ends, heard, until);
    if (task.done) break;
    if (woken == os::FutexResult::timed_out && Clock::now() >= how.deadline)
      return fail(ErrorCode::timed_out, "the mapping operation on %zu devices is still under way",
                  task.request.devices.size());
    if (woken == os::FutexResult::interrupted && how.interruptible)
      return fail(ErrorCode::interrupted, "a signal ended the wait for a mapping operation");
  }
  return {};
}

Result<void> Mappings::wait(MappingTask& task, const device::Wait& how) const {
  SLUICE_TRY(parts_.checks.alive());
  device::Wait until = how;
  {
    const MutexLock lock(task.mutex);
    until.deadline = std::min(how.deadline, task.deadline);
  }
  SLUICE_TRY(sleep_until_done(task, until));
  const MutexLock lock(task.mutex);
  return task.operation.outcome();
}

MappingReport Mappings::report(MappingTask& task) const {
  const auto now = Clock::now();
  const MutexLock lock(task.mutex);
  MappingReport report;
  report.devices = task.operation.devices();
  report.prefix = task.operation.prefix();
  report.done = task.operation.finished();
  report.lost = task.lost;
  using std::chrono::nanoseconds;
  report.remaining = task.deadline == Clock::time_point::max() ? nanoseconds::max()
                     : task.deadline <= now                    ? nanoseconds::zero()
                                                               : task.deadline - now;
  return report;
}

Mappings::Task Mappings::under_way_on(const Range& range) {
  const MutexLock lock(mutex_);
  for (const Task& task : under_way_)
    for (const AddressSpan& part : task->request.parts)
      if (range.pages.contains(part.begin)) return task;
  return nullptr;
}

// The range is mapped whole on all devices, or it is released. Signals do not end the wait: the
// caller has no handle yet to resume it by.
Result<Address> Mappings::allocate(std::size_t size, Kind kind, int device,
                                   std::span<const int> devices, Access access,
                                   std::string_view name) {
  mapping::Request request{.parts = {{Address{}, size}},
                           .devices = {devices.begin(), devices.end()},
                           .access = access,
                           .mode = MappingMode::all_or_nothing};
  SLUICE_TRY(parts_.checks.alive());
  SLUICE_ASSIGN(base, parts_.allocator.allocate(size, kind, device, HostPages::automatic, name));
  request.parts.front().begin = base;
  Result<Task> task;
  try {
    task = start(request, device::Clock::time_point::max());
  } catch (const std::bad_alloc&) {
    (void)free(base);  // nothing was begun, so nothing is mapped
    throw;
  }
  const Result<void> mapped = task ? wait(**task, {}) : tl::unexpected<Error>(task.error());
  if (mapped) return base;
  SLUICE_TRY(free(base));
  return tl::unexpected<Error>(mapped.error());
}

Result<void> Mappings::free(Address base) {
  SLUICE_ASSIGN(range, parts_.allocator.find_base(base));
  SLUICE_TRY(unmap_whole(*range));
  return parts_.allocator.free(std::move(range), FreeMode::unmap);
}

Result<void> Mappings::unmap_whole(Range& range) {
  while (const Task task = under_way_on(range)) SLUICE_TRY(sleep_until_done(*task, {}));
  // Every range that goes out of scope comes here, and few of them are mapped.
  const auto is_mapped = [](Block& block) {
    const MutexLock lock(block.mutex);
    return !block.locked_state().mapped().empty();
  };
  if (std::none_of(range.blocks.begin(), range.blocks.end(), is_mapped)) return {};
  mapping::Request request{.verb = mapping::Verb::unmap, .parts = {range.pages}};
  for (int device = 0; device < parts_.run.devices.count(); ++device)
    if (device != range.device) request.devices.push_back(device);
  if (request.devices.empty()) return {};
  SLUICE_ASSIGN(task, start(request, Clock::time_point::max()));
  SLUICE_TRY(sleep_until_done(*task, {}));
  const MutexLock lock(task->mutex);
  return task->operation.outcome();  // an error only where there was no memory for its records
}

}  // namespace sluice::engine
