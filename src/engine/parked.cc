// ParkedAccesses: one thread that waits for the oldest fence and looks at all of them at least
// twice a millisecond.
//
// So an access goes on within half a millisecond of its kernel's end even when several kernels are
// waited for, and at once when there is one. What it does not do: give rights. The access faults
// again and takes the usual way.
#include "engine/parked.hpp"

#include <algorithm>
#include <cstdio>

#include "base/deadline.hpp"
#include "fault/engine_threads.hpp"
#include "os/futex.hpp"
#include "os/report.hpp"

namespace sluice::engine {

using namespace std::chrono_literals;

ParkedAccesses::ParkedAccesses(const transfer::Timelines& timelines, Visits& visits,
                               observe::Observer& observer, const SpaceOptions& options)
    : timelines_(timelines),
      visits_(visits),
      observer_(observer),
      timeout_(bounded(options.access_timeout)),
      stuck_(options.stuck) {}

void ParkedAccesses::stop() noexcept {
  stopping_ = true;
  ++arrivals_;
  os::futex_wake_all(arrivals_);
  thread_.join();
}

Result<void> ParkedAccesses::start(fault::FaultSource& source) {
  source_ = &source;
  SLUICE_ASSIGN(thread, os::Thread::start("sluice-parked", [this] { run(); }));
  thread_ = std::move(thread);
  return {};
}

bool ParkedAccesses::park(const fault::AccessFault& access, const ActiveUse& until) noexcept {
  {
    MutexLock lock(mutex_);
    if (count_ == parked_.size()) return false;
    const fault::AccessFault named{access.address, access.access, access.thread_id()};
    parked_[count_++] = {named, until, device::Clock::now(), false};
  }
  arrivals_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(arrivals_);
  return true;
}

void ParkedAccesses::run() {
  fault::mark_engine_thread();
  while (!stopping_) {
    const std::uint32_t seen = arrivals_.load(std::memory_order_acquire);
    const device::Fence oldest = wake_ready();
    if (oldest.device == -1) {
      if (!stopping_) os::futex_wait(arrivals_, seen, device::Clock::time_point::max());
      continue;
    }
    if (visits_.are_allowed() && visit_one()) continue;
    // Its error, if it has one, is reported to the launcher of the kernel.
    (void)timelines_.wait(oldest, {device::Clock::now() + 500us, false});
  }
}

// An access waits for a kernel as long as most kernels run. Once one was visited, it is visited
// again at once: a thread may be watching what it does.
bool ParkedAccesses::is_due(const ParkedAccess& parked, device::Clock::time_point now) const {
  constexpr auto patience = 3ms;
  return parked.until.fence == visited_ || now - parked.since >= patience;
}

bool ParkedAccesses::visit_one() {
  const std::optional<ParkedAccess> due = take_due();
  if (!due) return false;
  if (visits_.make(due->access, *source_)) {
    visited_ = due->until.fence;
    return true;
  }
  MutexLock lock(mutex_);
  if (count_ == parked_.size())
    source_->wake({due->access.address, page_size});
  else
    parked_[count_++] = *due;
  return false;
}

// Taken out before the visit, which wakes the thread: it may come back, and be parked anew.
std::optional<ParkedAccesses::ParkedAccess> ParkedAccesses::take_due() {
  const auto now = device::Clock::now();
  MutexLock lock(mutex_);
  const auto begin = parked_.begin();
  const auto end = begin + static_cast<std::ptrdiff_t>(count_);
  const auto found =
      std::find_if(begin, end, [&](const ParkedAccess& each) { return is_due(each, now); });
  if (found == end) return std::nullopt;
  const ParkedAccess due = *found;
  std::move(found + 1, end, found);
  --count_;
  return due;
}

device::Fence ParkedAccesses::wake_ready() {
  const auto now = device::Clock::now();
  MutexLock lock(mutex_);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    ParkedAccess& parked = parked_[i];
    if (timelines_.is_pending(parked.until.fence)) {
      look_at(parked, now);
      parked_[kept++] = parked;
    } else {
      source_->wake({parked.access.address, page_size});
    }
  }
  count_ = kept;
  return count_ == 0 ? device::Fence{} : parked_[0].until.fence;
}

void ParkedAccesses::look_at(ParkedAccess& parked, device::Clock::time_point now) {
  if (parked.reported || timeout_ == 0ms || now - parked.since < timeout_) return;
  parked.reported = true;
  observer_.count(observe::Counter::stuck_accesses);
  observer_.record(EventKind::access_stuck, {parked.access.address, page_size},
                   Location::device(parked.until.fence.device), Location::host(), 0,
                   parked.access.thread);
  const int queue = timelines_.queue_number(parked.until.fence);
  char in[32] = "in a stream of the program";
  if (queue >= 0) std::snprintf(in, sizeof in, "in queue %d", queue);
  os::report(
      "thread %d has waited %lld ms to %s %#lx: a kernel on device %d, %s, may %s it and has not "
      "ended. If that kernel waits for this thread, allocate the memory as Kind::host, which both "
      "use at "
      "once%s.%s",
      parked.access.thread, static_cast<long long>(timeout_.count()),
      parked.access.access == Access::write ? "write" : "read", parked.access.address.value,
      parked.until.fence.device, in, parked.until.writes ? "write" : "read",
      timelines_.native_atomics(parked.until.fence)
          ? ""
          : " with loads and stores; this device's atomics and the host's lose each other's "
            "updates",
      stuck_ == Stuck::deny ? " The access is denied (Stuck::deny)." : "");
  if (stuck_ == Stuck::deny) (void)source_->deny({parked.access.address, page_size});
}

}  // namespace sluice::engine
