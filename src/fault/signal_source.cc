// Answers access faults in the thread that faults. What runs in the handler is answer(), below, and what it calls.
//
// Why in that thread: no hand-over to another CPU, which is most of a userfaultfd fault's cost; and no other choice, since the
// kernel stops no thread for us. An access that must wait for a kernel on a device sleeps right there, 5 ms at a time, and in
// between looks for signals that the program does not block: the handler returns then, they are delivered, and the access faults
// again. So a long wait does not keep Ctrl-C away.
//
// Cost of an access with rights of one page: 3.7 to 4.1 of the kernel's minor faults on the same machine, half of that the
// delivery of the signal and the return from it; 64 KiB at a time, 2.4 to 2.6 times the floor's throughput.
// What it does not do: kernel accesses (read(2) into a page without rights gets EFAULT; the guard resolves libc's calls first), or
// outlive a handler that is set later without the guard.
#include "fault/signal_source.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "fault/engine_threads.hpp"
#include "os/errors.hpp"
#include "os/futex.hpp"
#include "os/machine.hpp"

namespace sluice::fault {
namespace {

using namespace std::chrono_literals;

constexpr bool is_supported =
#if defined(__x86_64__)
    true;
#else
    false;  // frames, masks and the kind of an access are read from the processor's own record
#endif

[[noreturn]] void abort_for_engine_thread(std::int32_t thread, Address address) noexcept {
  char line[160];
  const int size = std::snprintf(
      line, sizeof line,
      "sluice: bug: engine thread %d touched managed memory at %#zx and would wait for itself\n",
      thread, static_cast<std::size_t>(address.value));
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, line, static_cast<std::size_t>(size));
  std::abort();
}

}  // namespace

SignalSource::SignalSource(std::string reason, std::unique_ptr<ProtectedView> view,
                           os::HostMemory& memory, Resolver& resolver) noexcept
    : reason_(std::move(reason)), view_(std::move(view)), memory_(memory), resolver_(resolver) {}

Result<std::unique_ptr<SignalSource>> SignalSource::start(std::string why, os::HostMemory& memory,
                                                          Resolver& resolver) {
  if (!is_supported)
    return fail(ErrorCode::unsupported, "grade signal is for x86-64 only; and %s", why.c_str());
  const os::MappingLimit limit = os::inspect_mapping_limit();
  SLUICE_ASSIGN(view,
                ProtectedView::create(memory, limit.most - std::min(limit.most, limit.in_use)));
  if (const int error = in_handler::hear_segmentation_faults(); error != 0)
    return os::call_failed(error, "setting the handler of SIGSEGV");
  if (!in_handler::is_guarded())
    why += "; a handler of SIGSEGV that is set from now on takes faults away (sluice run --guard)";
  std::unique_ptr<SignalSource> source(
      new SignalSource(std::move(why), std::move(view), memory, resolver));
  if (!in_handler::add(memory.window(), *source))
    return fail(ErrorCode::out_of_host_memory, "more than 64 spaces of grade signal");
  return source;
}

SignalSource::~SignalSource() { in_handler::remove(*this); }

SignalSource::Waiting& SignalSource::waiting_at(Address address) noexcept {
  return waiting_[(address - memory_.window().begin) / block_size % waiting_.size()];
}

void SignalSource::unwatch(AddressSpan view) noexcept {
  if (process_.inherited()) return;
  view_->unwatch(view);
  wake(view);
}

Result<void> SignalSource::deny(AddressSpan span) noexcept {
  SLUICE_TRY(view_->deny(span));
  wake(span);
  return {};
}

void SignalSource::wake(AddressSpan span) noexcept {
  const std::size_t blocks = std::min<std::size_t>(waiting_.size(), span.size / block_size + 2);
  for (std::size_t i = 0; i < blocks; ++i) {
    const Address address{round_down(span.begin.value, block_size) + i * block_size};
    if (address >= span.end()) return;
    Waiting& waiting = waiting_at(address);
    waiting.wakes.fetch_add(1);
    if (waiting.threads.load() != 0) os::futex_wake_all(waiting.wakes);
  }
}

bool SignalSource::answer(const in_handler::Touch& touch) noexcept {
  if (process_.inherited()) return false;
  const Address page{round_down(touch.address.value, memory_.granule_at(touch.address))};
  switch (view_->stand(page, touch.access, touch.faulted)) {
    case ProtectedView::Standing::foreign:
      return false;
    case ProtectedView::Standing::given:
      return true;
    case ProtectedView::Standing::lacking:
      break;
  }
  const auto thread = static_cast<std::int32_t>(::gettid());
  if (is_engine_thread(thread)) abort_for_engine_thread(thread, page);
  Waiting& waiting = waiting_at(page);
  waiting.threads.fetch_add(1);
  const std::uint32_t seen = waiting.wakes.load();
  const AddressSpan given = resolver_.resolve({page, touch.access, thread});
  if (given.size == 0) wait(waiting, seen, touch.mask);
  waiting.threads.fetch_sub(1);
  return true;
}

// Until somebody wakes the block, or the program has a signal to handle first.
void SignalSource::wait(const Waiting& waiting, std::uint32_t seen, std::uint64_t mask) noexcept {
  while (waiting.wakes.load() == seen) {
    if (os::futex_wait(waiting.wakes, seen, std::chrono::steady_clock::now() + 5ms) ==
        os::FutexResult::woken)
      continue;
    std::uint64_t pending = 0;
    if (::syscall(SYS_rt_sigpending, &pending, sizeof pending) == 0 && (pending & ~mask) != 0)
      return;
  }
}

}  // namespace sluice::fault
