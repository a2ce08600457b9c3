// The threads that answer access faults.
//
// Handlers run with all signals blocked, allocate nothing, print nothing and take no lock but the
// resolver's: a faulting thread may hold malloc's lock, stdio's or a driver's. A handler reads a
// single message while others are free for the next, and up to 16 when all others are at work; a
// page that was resolved for an earlier message of the batch is not resolved again, since one wake
// reaches every waiter.
//
// After a fault, one handler keeps asking for up to 50 us before it sleeps: a sleeping thread takes
// some 4 us to come back, which is half of a fault's cost (4 KiB p50: 9.5 us asleep, 5.8 us
// spinning). One spins, or two on eight CPUs and more (handler_spin_policy.hpp), and it yields its
// CPU each time round, so on a 2-core machine the faulting threads keep both.
//
// A single batch is answered in order: a resolver that waits for long holds up the rest of its
// batch, but not other handlers. Resolvers that must wait for a fence give back an empty span
// instead.
#include "fault/userfaultfd_source.hpp"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "fault/engine_threads.hpp"
#include "os/access_code.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/machine.hpp"
#include "os/new_descriptors.hpp"
#include "os/poll_files.hpp"
#include "os/report.hpp"

namespace sluice::fault {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds spin_for{50};
constexpr int look_up_after_ms = 2000;
constexpr const char* remedy = "does a sandbox refuse it? Allow the call in its seccomp profile";

// On a single CPU the faulting thread needs it.
int spinners() noexcept {
  const int cpus = os::usable_cpus();
  return cpus >= 8 ? 2 : cpus > 1 ? 1 : 0;
}

AccessFault describe(const uffd_msg& message, std::size_t granule) noexcept {
  const auto& fault = message.arg.pagefault;
  const bool writes = (fault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0;
  return {.address = {round_down(fault.address, granule)},
          .access = writes ? Access::write : Access::read,
          .thread = static_cast<std::int32_t>(fault.feat.ptid),
          .exact = {fault.address}};
}

[[noreturn]] void abort_for_engine_thread(const AccessFault& fault) noexcept {
  char line[160];
  const int size = std::snprintf(
      line, sizeof line,
      "sluice: bug: engine thread %d touched managed memory at %#zx and would wait for itself\n",
      fault.thread, static_cast<std::size_t>(fault.address.value));
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, line, static_cast<std::size_t>(size));
  std::abort();
}

// The spans that a batch has resolved so far.
class Resolution {
 public:
  [[nodiscard]] bool covers(const AccessFault& fault) const noexcept {
    for (std::size_t i = 0; i < count_; ++i)
      if (entries_[i].span.contains(fault.address) &&
          (fault.access == Access::read || entries_[i].access == Access::write))
        return true;
    return false;
  }
  void add(AddressSpan span, Access access) noexcept { entries_[count_++] = {span, access}; }

 private:
  struct Entry {
    AddressSpan span;
    Access access;
  };
  std::array<Entry, 16> entries_;
  std::size_t count_ = 0;
};

}  // namespace

UserfaultfdSource::UserfaultfdSource(os::Userfaultfd userfaultfd, int handler_threads,
                                     os::HostMemory& memory, Resolver& resolver) noexcept
    : rights_(std::move(userfaultfd), memory),
      memory_(memory),
      resolver_(resolver),
      spin_policy_(handler_threads, spinners()) {}

Result<std::unique_ptr<UserfaultfdSource>> UserfaultfdSource::start(os::Userfaultfd userfaultfd,
                                                                    int handler_threads,
                                                                    os::HostMemory& memory,
                                                                    Resolver& resolver) {
  std::unique_ptr<UserfaultfdSource> source(
      new UserfaultfdSource(std::move(userfaultfd), handler_threads, memory, resolver));
  {
    const os::NewDescriptors making;
    source->stop_ = os::OwnedFd(os::calls().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  if (!source->stop_.is_open())
    return os::call_failed(errno, "eventfd, which stops fault handlers");
  SLUICE_TRY(source->keeper_.keep(source->rights_.userfaultfd().file()));
  source->handlers_.reserve(static_cast<std::size_t>(handler_threads));
  for (int i = 0; i < handler_threads; ++i) {
    SLUICE_ASSIGN(
        thread, os::Thread::start("sluice-fault", [raw = source.get()] { raw->handle_faults(); }));
    source->handlers_.push_back(std::move(thread));
  }
  source->reason_ = source->rights_.userfaultfd().reason();
  if (source->grade() != Grade::full)
    source->reason_ += source->guard_window_.emplace(memory.window()).refusal();
  return source;
}

UserfaultfdSource::~UserfaultfdSource() {
  if (process_.inherited()) {
    for (os::Thread& thread : handlers_) thread.forget();
    keeper_.forget();
    return;
  }
  stopping_ = true;
  spin_policy_.stop();
  // A stop event that the program closed, or that a sandbox makes unwritable, is not needed:
  // handlers poll now and then.
  const std::uint64_t one = 1;
  while (!handlers_.empty() && stop_.is_intact() &&
         os::calls().write(stop_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  for (os::Thread& thread : handlers_) thread.join();
}

// A fault goes through the kernel, which orders memory; the language (and ThreadSanitizer) only
// know orders made with atomics.
Result<void> UserfaultfdSource::watch(AddressSpan view) {
  SLUICE_TRY(check_heard());
  watches_.fetch_add(1, std::memory_order_release);
  return rights_.watch(view);
}

Result<void> UserfaultfdSource::allow(AddressSpan span) noexcept {
  SLUICE_TRY(check_heard());
  return rights_.allow(span);
}

// Memory must not be opened when its faults are not handled.
Result<void> UserfaultfdSource::check_heard() const noexcept {
  if (!lost_) return {};
  return fail(ErrorCode::system,
              "accesses to the memory of this space are heard of no more; stderr has the reason "
              "(descriptor %d closed, or read or poll refused)",
              rights_.userfaultfd().file());
}

void UserfaultfdSource::handle_faults() noexcept {
  mark_engine_thread();
  while (wait_for_more()) {
    bool more_expected = answer_pending();
    do {
      if (more_expected) spin_for_more();
      more_expected = spin_policy_.rest();
    } while (more_expected);
  }
}

// Sleeps until a fault is pending (true) or the source stops (false). Polls now and then, in case
// the program has closed the event or the userfaultfd.
bool UserfaultfdSource::wait_for_more() noexcept {
  pollfd files[] = {{stop_.get(), POLLIN, 0}, {rights_.userfaultfd().file(), POLLIN, 0}};
  while (true) {
    const int ready = os::poll_files(files, 2, look_up_after_ms);
    const int error = ready < 0 ? errno : 0;
    if (stopping_ || lost_) return false;
    if (!rights_.userfaultfd().is_intact()) {
      give_up(Error(
          ErrorCode::system,
          "the program closed descriptor %d, the userfaultfd of a space (does it close descriptors "
          "that it does not know?)",
          rights_.userfaultfd().file()));
      return false;
    }
    if (error != 0 && error != EINTR) {
      give_up(Error(ErrorCode::system, "poll of a userfaultfd: %s (%s)", os::errno_name(error),
                    remedy));
      return false;
    }
    if (ready > 0 && files[1].revents != 0) return true;
    if (ready > 0 && files[0].revents != 0) files[0].fd = -1;  // it is no event of ours any more
  }
}

// Faults are no longer delivered, and a page's bytes may be stale. So all accesses are denied.
void UserfaultfdSource::give_up(const Error& why) noexcept {
  if (lost_.exchange(true)) return;
  os::report(
      "%s. The space's memory is inaccessible from now on: an access is a segmentation fault; "
      "copies that the library makes still reach the bytes",
      why.detail().data());
  rights_.deny_everything();
  spin_policy_.stop();
  // Both wake the threads that wait for an answer: they fault again, and are denied.
  rights_.wake(memory_.window());
  keeper_.let_go();
}

// Returns true if there was a fault to answer.
bool UserfaultfdSource::answer_pending() noexcept {
  Messages messages;
  const std::size_t limit = spin_policy_.others_are_free() ? 1 : batch_limit;
  if (!rights_.userfaultfd().is_intact()) return false;  // any data read would be the program's
  const auto [count, error] = rights_.userfaultfd().read(std::span(messages).first(limit));
  if (error != 0)
    give_up(
        Error(ErrorCode::system, "read of a userfaultfd: %s (%s)", os::errno_name(error), remedy));
  if (count == 0) return false;
  spin_policy_.leave();
  answer({messages.data(), count});
  spin_policy_.enter();
  return true;
}

// Answers faults until none came for a while, unless enough handlers do so already.
void UserfaultfdSource::spin_for_more() noexcept {
  if (!spin_policy_.begin_spin()) return;
  for (Clock::time_point until = Clock::now() + spin_for; Clock::now() < until; ::sched_yield())
    if (answer_pending()) until = Clock::now() + spin_for;
  spin_policy_.end_spin();
}

void UserfaultfdSource::answer(std::span<const uffd_msg> messages) noexcept {
  Resolution resolved;
  (void)watches_.load(std::memory_order_acquire);
  for (const uffd_msg& message : messages) {
    if (message.event != UFFD_EVENT_PAGEFAULT) continue;
    AccessFault fault = describe(message, memory_.granule_at({message.arg.pagefault.address}));
    if (is_engine_thread(fault.thread)) abort_for_engine_thread(fault);
    if (resolved.covers(fault)) continue;
    fault.began = resolver_.clock();
    if (fault.began != 0 && resolver_.wants_code(fault.began))
      fault.code = os::access_code(fault.thread);
    const AddressSpan span = resolver_.resolve(fault);
    if (span.size == 0) continue;
    wake(span);
    resolved.add(span, fault.access);
  }
}

}  // namespace sluice::fault
