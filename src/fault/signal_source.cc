// Opens grade `signal`, and forwards its calls; signal_source_in_handler.cc answers accesses.
//
// What it does not do: kernel accesses (read(2) into a page without rights gets EFAULT; the guard
// resolves libc's calls first), or survive a handler that is set later without the guard.
#include "fault/signal_source.hpp"

#include <algorithm>
#include <cstdlib>

#include "os/errors.hpp"
#include "os/futex.hpp"
#include "os/machine.hpp"
#include "os/report.hpp"

namespace sluice::fault {
SignalSource::SignalSource(std::string reason, std::unique_ptr<ProtectedView> view,
                           os::HostMemory& memory, Resolver& resolver) noexcept
    : reason_(std::move(reason)),
      view_(std::move(view)),
      memory_(memory),
      resolver_(resolver),
      guard_window_(memory.window()) {}

Result<std::unique_ptr<SignalSource>> SignalSource::start(std::string why, os::HostMemory& memory,
                                                          Resolver& resolver) {
  const os::MappingLimit limit = os::inspect_mapping_limit();
  SLUICE_ASSIGN(view,
                ProtectedView::create(memory, limit.most - std::min(limit.most, limit.in_use)));
  if (const int error = in_handler::hear_segmentation_faults(); error != 0)
    return os::call_failed(error, "sigaction for SIGSEGV");
  if (!in_handler::is_guarded())
    why += "; a handler of SIGSEGV that is set from now on takes faults away (sluice run --guard)";
  std::unique_ptr<SignalSource> source(
      new SignalSource(std::move(why), std::move(view), memory, resolver));
  source->reason_ += source->guard_window_.refusal();
  if (!in_handler::add(memory.window(), *source))
    return fail(ErrorCode::out_of_host_memory, "more than 64 spaces of grade signal");
  return source;
}

SignalSource::~SignalSource() { in_handler::remove(*this); }

in_handler::WaitSlot& SignalSource::waiting_at(Address address) noexcept {
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

// The next access here would restore the protection, so only the end of the process prevents it.
void SignalSource::deny_everything() noexcept {
  os::report("memory without its bytes cannot be closed; the process ends");
  std::abort();
}

void SignalSource::wake(AddressSpan span) noexcept {
  const std::size_t blocks = std::min<std::size_t>(waiting_.size(), span.size / block_size + 2);
  for (std::size_t i = 0; i < blocks; ++i) {
    const Address address{round_down(span.begin.value, block_size) + i * block_size};
    if (address >= span.end()) return;
    in_handler::WaitSlot& waiting = waiting_at(address);
    waiting.wakes.fetch_add(1);
    if (waiting.threads.load() != 0) os::futex_wake_all(waiting.wakes);
  }
}

}  // namespace sluice::fault
