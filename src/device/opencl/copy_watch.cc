// A table of waits, and a thread that looks at it once a second while there are any.
//
// A wait costs a few stores, and a system call for the first one after a second without. The thread
// sleeps while there are no waits. What it does not do: end a wait, or tell why the driver makes no
// progress; it names the threads that are blocked in managed memory, if the kernel reports them.
#include "device/opencl/copy_watch.hpp"

#include <algorithm>
#include <cstdio>

#include "os/futex.hpp"
#include "os/report.hpp"
#include "os/stalled_thread.hpp"

namespace sluice::device::opencl {

using namespace std::chrono_literals;

namespace {

// The program's own wait for the copy; one of the driver's may keep it from ending. So threads in a
// library's code are named, or the others if there are none, each with the code that it is in.
template <std::size_t Size>
void describe_stalled_threads(char (&text)[Size]) {
  os::StalledThread stalled[32];
  const std::size_t count = os::find_stalled_threads(stalled);
  text[0] = 0;
  std::size_t length = 0;
  const auto add = [&](const char* format, const auto&... values) {
    if (length < Size)
      length +=
          static_cast<std::size_t>(std::snprintf(text + length, Size - length, format, values...));
  };
  const auto is_programs = [](const os::StalledThread& one) { return one.in_program; };
  const auto end = stalled + count;
  const bool any_other = !std::all_of(stalled, end, is_programs);
  int named = 0;
  for (const os::StalledThread* one = stalled; one != end && named < 3; ++one)
    if (!any_other || !is_programs(*one))
      add("%s %d (%s, in %s)", named++ == 0 ? " Meanwhile threads wait for managed memory:" : ",",
          one->id, one->name, one->code);
  if (named != 0) add("%s", ". If one is the driver's, the driver waits for itself.");
}

}  // namespace

CopyWatch::~CopyWatch() {
  stopping_ = true;
  ++bell_;
  os::futex_wake_all(bell_);
  thread_.join();
}

Result<void> CopyWatch::start() {
  SLUICE_ASSIGN(thread, os::Thread::start("sluice-watch", [this] { run(); }));
  thread_ = std::move(thread);
  return {};
}

CopyWatch::Waiter::Waiter(CopyWatch& watch, const Copy& copy) noexcept : watch_(watch) {
  for (std::size_t i = 0; i < most && index_ == most; ++i)
    if (!watch.entries_[i].taken.load(std::memory_order_relaxed) &&
        !watch.entries_[i].taken.exchange(true, std::memory_order_acquire))
      index_ = i;
  if (index_ == most) return;
  Entry& entry = watch.entries_[index_];
  entry.what = copy.what;
  entry.address = copy.address.value;
  entry.size = copy.size;
  entry.since = Clock::now().time_since_epoch().count();
  if (!watch.asleep_.load() || !watch.asleep_.exchange(false)) return;
  ++watch.bell_;
  os::futex_wake_all(watch.bell_);
}

CopyWatch::Waiter::~Waiter() {
  if (index_ == most) return;
  watch_.entries_[index_].since = 0;
  watch_.entries_[index_].taken.store(false, std::memory_order_release);
}

void CopyWatch::run() {
  while (!stopping_) {
    const std::uint32_t heard = bell_;
    asleep_ = true;
    // A wait that began before that saw no thread asleep.
    const bool any = look_at_all();
    if (any) asleep_ = false;
    os::futex_wait(bell_, heard, any ? Clock::now() + 1s : Clock::time_point::max());
  }
}

bool CopyWatch::look_at_all() {
  bool any = false;
  for (Entry& entry : entries_) {
    const Clock::rep since = entry.since;
    if (since == 0) continue;
    any = true;
    look_at(entry, since);
  }
  return any;
}

void CopyWatch::look_at(Entry& entry, Clock::rep since) const {
  const auto waited = Clock::now() - Clock::time_point(Clock::duration(since));
  if (entry.reported == since || waited < report_after_) return;
  const char* const what = entry.what;
  const std::uintptr_t address = entry.address;
  const std::size_t size = entry.size;
  if (entry.since != since) return;  // it has ended, and another one may have the entry
  entry.reported = since;
  char stalled[320];
  describe_stalled_threads(stalled);
  os::report(
      "the driver has not ended %s, of %zu bytes at %#lx, for %lld s.%s%s", what, size,
      static_cast<unsigned long>(address),
      static_cast<long long>(std::chrono::duration_cast<std::chrono::seconds>(waited).count()),
      stalled, advice_);
}

}  // namespace sluice::device::opencl
