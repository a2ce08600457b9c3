// Answers access faults in the thread that faults. See the notice in signal_in_handler.hpp: signal
// context.
//
// Why in that thread: no hand-over to another CPU, which is most of a userfaultfd fault's cost; and
// no other choice, since the kernel stops no thread for us. An access that must wait for a kernel
// on a device sleeps there (signal_in_handler.cc), 5 ms at a time, and in between checks for
// signals that the program does not block: the handler then returns, they are delivered, and the
// access faults again. So a long wait does not delay Ctrl-C.
//
// Cost of an access with rights of one page: 3.5 of the kernel's minor faults on the same machine,
// 2.8 of that the delivery of the signal, the return from it and one mprotect. With an access
// window of 64 KiB: 2.6 to 3 times the throughput of those minor faults, one for each page.
#include <unistd.h>

#include <cstdlib>

#include "fault/engine_threads.hpp"
#include "fault/signal_source.hpp"
#include "os/report.hpp"

namespace sluice::fault {
namespace {

[[noreturn]] void abort_for_engine_thread(Address address) noexcept {
  os::report("bug: engine thread %d touched managed memory at %#zx and would wait for itself",
             static_cast<int>(::gettid()), static_cast<std::size_t>(address.value));
  std::abort();
}

}  // namespace

in_handler::Answer SignalSource::answer(const in_handler::Touch& touch) noexcept {
  if (process_.inherited()) return {};
  const Address page{round_down(touch.address.value, memory_.granule_at(touch.address))};
  switch (view_->stand(page, touch.access, touch.faulted)) {
    case ProtectedView::StandResult::foreign:
      return {};
    case ProtectedView::StandResult::given:
      return {.is_ours = true};
    case ProtectedView::StandResult::lacking:
      break;
  }
  if (calling_engine_thread()) abort_for_engine_thread(page);
  in_handler::WaitSlot& waiting = waiting_at(page);
  waiting.threads.fetch_add(1);
  const std::uint32_t seen = waiting.wakes.load();
  const AddressSpan given = resolver_.resolve({page, touch.access, 0});
  if (given.size == 0) return {.is_ours = true, .waiting = &waiting, .seen = seen};
  waiting.threads.fetch_sub(1);
  return {.is_ours = true};
}

}  // namespace sluice::fault
