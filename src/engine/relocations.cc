// Relocations: the turn, the rate and the choice of ranges.
//
// Requests run on the threads that make them: an allocation, a launch or a lease that finds no
// room, or a program that asks. No claim is held while one waits for its turn, for the rate or for
// a range. Queues are stopped before claims are taken, for a kernel may need another thread's claim
// to end (docs/locks.md, rule 2). What it does not do: make room for an access of a running kernel
// (a device with recoverable faults would wait for itself), or bring anything back without being
// asked.
#include "engine/relocations.hpp"

#include <algorithm>
#include <thread>

#include "device/stoppable_queues.hpp"
#include "os/futex.hpp"

namespace sluice::engine {
namespace {

using std::chrono::nanoseconds;

// Bytes that would leave if the whole range did; 0 if it may not leave, or was never mapped.
std::size_t may_leave(Range& range) {
  std::size_t bytes = 0;
  bool mapped = false;
  for (Block& block : range.blocks) {
    const MutexLock lock(block.mutex);
    const BlockState& state = block.locked_state();
    mapped = mapped || !state.mapped().empty();
    if (state.is_leased_by_programs() || !state.directory.lost().empty()) return 0;
    if (const DevicePart* part = state.part(range.device); part != nullptr && !state.in_host_memory)
      bytes += part->allocation.size;
  }
  return mapped ? bytes : 0;
}

}  // namespace

// --- the turn ------------------------------------------------------------------------------------

Relocations::Turn::Turn(Relocations& all, Clock::time_point until) : all_(all) {
  {
    const MutexLock lock(all.mutex_);
    ticket_ = ++all.last_ticket_;
    all.waiting_.push_back(ticket_);
  }
  for (bool late = false;; late = Clock::now() >= until) {
    const std::uint32_t heard = all.bell_.load(std::memory_order_acquire);
    {
      const MutexLock lock(all.mutex_);
      came_ = all.waiting_.front() == ticket_;
    }
    if (came_ || late) return;
    os::futex_wait(all.bell_, heard, until);
  }
}

Relocations::Turn::~Turn() {
  {
    const MutexLock lock(all_.mutex_);
    std::erase(all_.waiting_, ticket_);
  }
  all_.bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(all_.bell_);
}

// --- stopping, and how often ---------------------------------------------------------------------

Result<void> Relocations::Stop::stop_queues(int device) const {
  device::StoppableQueues* const queues = all_.parts_.devices[device].stoppable_queues();
  if (queues != nullptr) return queues->stop_queues();
  return fail(ErrorCode::unsupported,
              "device %d: the queues of this kind of device cannot be stopped", device);
}

Result<void> Relocations::Stop::stop(DeviceSet devices) {
  const auto deadline = Clock::now() + all_.interval_;
  Result<void> first;
  const auto keep = [&first](Result<void> done) {
    if (!done && done.error().code() != ErrorCode::device_lost && first) first = std::move(done);
  };
  devices.for_each([&](int device) {
    if (!first) return;
    began_[device] = Clock::now();
    Result<void> done = stop_queues(device);
    if (done) stopped_.insert(device);
    keep(std::move(done));
  });
  stopped_.for_each([&](int device) {
    if (first)
      keep(all_.parts_.devices[device].stoppable_queues()->wait_stopped({.deadline = deadline}));
  });
  return first;
}

Relocations::Stop::~Stop() {
  stopped_.for_each([&](int device) {
    all_.parts_.devices[device].stoppable_queues()->restart_queues();
    const auto now = Clock::now();
    const auto time = static_cast<std::uint64_t>(nanoseconds(now - began_[device]).count());
    Stops& stops = all_.stops_[device];
    stops.next = now + all_.interval_;
    stops.time += time;
    ++stops.count;
    observe::Observer& observer = all_.parts_.observer;
    observer.count(observe::Counter::queue_stops);
    observer.record(EventKind::queue_stop, {}, Location::device(device), Location::device(device),
                    observe::now() - time);
  });
}

// Waits until the queues of all these devices have run for an interval since their last stop.
Result<void> Relocations::await_rate(DeviceSet devices, Clock::time_point until) const {
  auto next = Clock::time_point::min();
  devices.for_each([&](int device) { next = std::max(next, stops_[device].next.load()); });
  if (next > until)
    return fail(ErrorCode::timed_out, "queues are stopped at most every %lld ms",
                static_cast<long long>(interval_.count()));
  std::this_thread::sleep_until(next);
  return {};
}

// A device that mapped some of it after the queues were stopped has to be stopped, too. A lost
// device that is still recorded will soon be removed.
Result<void> Relocations::attempt(RelocationRun& run, Clock::time_point until) {
  SLUICE_TRY(run.prepare(until));
  while (true) {
    const DeviceSet devices = run.devices();
    SLUICE_TRY(await_rate(devices, until));
    Stop stop(*this);
    SLUICE_TRY(stop.stop(devices));
    SLUICE_ASSIGN(claimed, run.claim(stop.stopped()));
    if (!claimed) continue;
    run.run();
    run.release();
    return run.outcome();
  }
}

QueueStops Relocations::stops(int device) const noexcept {
  const Stops& stops = stops_[device];
  return {stops.count, nanoseconds(stops.time.load()), interval_};
}

// --- on request ----------------------------------------------------------------------------------

Result<void> Relocations::relocate(AddressSpan span, Location to, MappingReport& report) {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  if (range->kind != Kind::device || (to.is_device() && to.number() != range->device))
    return fail(ErrorCode::unsupported,
                "%#lx: only memory of a device is moved so, to the host or back to that device",
                span.begin.value);
  const auto until = deadline();
  const Turn turn(*this, until);
  if (!turn.came())
    return fail(ErrorCode::timed_out, "others moved memory for %d intervals of %lld ms",
                most_intervals, static_cast<long long>(interval_.count()));
  RelocationRun run(parts_, range->device, to);
  for (std::size_t i = range->index_of(span.begin); i <= range->index_of(span.end() - 1); ++i)
    run.add(*range, range->blocks[i]);
  range->note_relocation(observe::now());
  const Result<void> done = attempt(run, until);
  report = run.report();
  return done;
}

// --- for want of room ----------------------------------------------------------------------------

std::vector<Pin> Relocations::candidates(int device, std::vector<plan::Candidate>& order) const {
  std::vector<Pin> ranges;
  for (Pin& range : parts_.ranges.all()) {
    if (range->kind != Kind::device || range->device != device) continue;
    const std::size_t bytes = may_leave(*range);
    if (bytes == 0) continue;
    order.push_back({ranges.size(), bytes, range->relocated()});
    ranges.push_back(std::move(range));
  }
  return ranges;
}

// Waits until enough ranges may leave that were not chosen lately.
Result<std::vector<Pin>> Relocations::choose(int device, std::size_t need,
                                             Clock::time_point until) {
  while (true) {
    std::vector<plan::Candidate> order;
    std::vector<Pin> ranges = candidates(device, order);
    std::size_t bytes = 0;
    for (const plan::Candidate& range : order) bytes += range.size;
    if (bytes < need)
      return fail(ErrorCode::out_of_device_memory,
                  "mapped ranges that may leave device %d hold %zu bytes; %zu are needed", device,
                  bytes, need);
    const auto rest = static_cast<std::uint64_t>(nanoseconds(rest_intervals * interval_).count());
    const std::uint64_t now = observe::now();
    const std::uint64_t rested = now - std::min(now, rest);
    std::vector<Pin> chosen;
    for (const plan::Candidate& range : plan::choose_relocated(order, need, rested)) {
      ranges[range.index]->note_relocation(now);
      chosen.push_back(std::move(ranges[range.index]));
    }
    if (!chosen.empty()) return chosen;
    if (Clock::now() >= until)
      return fail(ErrorCode::out_of_device_memory,
                  "enough may leave device %d, but not again within %d intervals of %lld ms",
                  device, rest_intervals, static_cast<long long>(interval_.count()));
    std::this_thread::sleep_until(std::min(until, Clock::now() + interval_ / 8));
  }
}

Result<void> Relocations::make_room(int device, std::size_t need, Clock::time_point until) {
  const Turn turn(*this, until);
  while (turn.came()) {
    SLUICE_ASSIGN(chosen, choose(device, need, until));
    RelocationRun run(parts_, device, Location::host());
    for (Pin& range : chosen)
      for (Block& block : range->blocks) run.add(*range, block);
    const Result<void> done = attempt(run, until);
    if (run.moved()) return {};  // even if a device was not mapped again: there is room
    // A kernel that does not end, or a new lease: other ranges may still leave.
    const bool others =
        done.error().code() == ErrorCode::timed_out || done.error().code() == ErrorCode::busy;
    if (!others || Clock::now() >= until)
      return fail(ErrorCode::out_of_device_memory, "%s",
                  std::string(done.error().detail()).c_str());
  }
  return fail(ErrorCode::out_of_device_memory, "others moved memory for %d intervals of %lld ms",
              most_intervals, static_cast<long long>(interval_.count()));
}

}  // namespace sluice::engine
