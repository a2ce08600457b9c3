// The handlers that the kernel knows. PLEASE READ before changing: signal context; no allocation,
// no stdio, no locks.
//
// SIGSEGV comes here first, whatever the program has set. A fault is offered to the drivers; any
// other is delivered to the program as the kernel would have done: its handler begins on the stack
// and with the mask that it would natively have, with the kernel's frame above it, so unwinders,
// siglongjmp and edits of the context work as usual. A signal that was sent arrives as the proxy,
// which has the program's own action except for the function, so the kernel itself handles pending,
// coalesced and waited-for signals correctly; only a SIGSEGV sent by another process is sent on as
// the proxy here.
//
// Functions that stand between the kernel's frame and the program's handler are not noexcept: a
// handler may throw. Cost: 0.2 us more than native for the program's own handler (one call to set
// the mask). What it does not do: see raw system calls of assembly or of static programs.
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "face/guard/state.hpp"

// One access to a byte; 0, or 1 if it was invalid. The first instruction of each makes the access.
extern "C" __attribute__((visibility("hidden"))) int sluice_guard_load(std::uintptr_t at) noexcept;
extern "C" __attribute__((visibility("hidden"))) int sluice_guard_store(std::uintptr_t at) noexcept;
extern "C" __attribute__((visibility("hidden"))) int sluice_guard_wild() noexcept;
asm(R"(
  .text
  .globl sluice_guard_load, sluice_guard_store, sluice_guard_wild
  .hidden sluice_guard_load, sluice_guard_store, sluice_guard_wild
  .type sluice_guard_load, @function
sluice_guard_load:
  .cfi_startproc
  movb (%rdi), %al
  xor %eax, %eax
  ret
  .cfi_endproc
  .size sluice_guard_load, .-sluice_guard_load
  .type sluice_guard_store, @function
sluice_guard_store:
  .cfi_startproc
  lock orb $0, (%rdi)
  xor %eax, %eax
  ret
  .cfi_endproc
  .size sluice_guard_store, .-sluice_guard_store
  .type sluice_guard_wild, @function
sluice_guard_wild:
  .cfi_startproc
  mov $1, %eax
  ret
  .cfi_endproc
  .size sluice_guard_wild, .-sluice_guard_wild
)");

namespace sluice::guard {
namespace {

using namespace sluice::os::in_handler;  // NOLINT(google-build-using-namespace): its every word

thread_local unsigned requeue_count = 0;

// Calls the program's handler with the program's form of the mask in its context.
void call_function(int signal, siginfo_t* info, void* argument) {
  auto& context = *static_cast<ucontext_t*>(argument);
  KernelMask& mask = mask_in(context);
  mask = to_program(mask);
  reinterpret_cast<Entry>(function_of(signal))(signal, info, argument);
  mask = to_kernel(mask);
}

void deliver_fault(int signal, siginfo_t* info, ucontext_t* context) noexcept {
  const Action action = action_of(signal);
  const bool blocked = (mask_in(*context) & bit_of(proxy)) != 0;
  if (blocked || !action.is_function()) return end_by_default(signal, info, context);
  if (action.has(SA_RESETHAND)) reset_to_default(signal);
  KernelMask mask = mask_in(*context) | to_kernel(action.mask);
  if (!action.has(SA_NODEFER)) mask |= bit_of(proxy);
  begin_handler(call_function, action.has(SA_ONSTACK), mask, signal, info, context);
}

// If the fault comes from an access in try_touch(), lets that continue with the result "invalid".
bool leave_touch(ucontext_t& context) noexcept {
  greg_t& at = context.uc_mcontext.gregs[REG_RIP];
  if (at != reinterpret_cast<greg_t>(sluice_guard_load) &&
      at != reinterpret_cast<greg_t>(sluice_guard_store))
    return false;
  at = reinterpret_cast<greg_t>(sluice_guard_wild);
  return true;
}

// Marks the value of a signal that was sent on for kill(); see send_on_as_proxy().
const char sent_by_kill = 0;

// To this thread if it was meant for it, else to the process, which finds a thread that does not
// block it. Linux lets only a process's first thread send with kill()'s code, and another thread
// gets the signal where the first one blocks everything for a moment, as in fork(). Such a thread
// sends it as if queued, and show_as_sent() gives it its form again.
void send_on_as_proxy(siginfo_t* info) noexcept {
  ++requeue_count;
  const long process = raw_call(SYS_getpid);
  siginfo_t sent = *info;
  sent.si_signo = proxy;
  if (info->si_code == SI_TKILL)
    raw_call(SYS_rt_tgsigqueueinfo, process, raw_call(SYS_gettid), proxy,
             reinterpret_cast<long>(&sent));
  else if (raw_call(SYS_rt_sigqueueinfo, process, proxy, reinterpret_cast<long>(&sent)) != 0) {
    sent.si_code = SI_QUEUE;
    sent.si_value.sival_ptr = const_cast<char*>(&sent_by_kill);
    raw_call(SYS_rt_sigqueueinfo, process, proxy, reinterpret_cast<long>(&sent));
  }
}

}  // namespace

unsigned requeued() noexcept { return requeue_count; }

void on_front(int signal, siginfo_t* info, void* argument) {
  const int saved_errno = errno;
  auto* const context = static_cast<ucontext_t*>(argument);
  if (!is_fault(*info)) {
    send_on_as_proxy(info);
  } else if (!ask_drivers(signal, info, context)) {
    errno = saved_errno;
    if (!leave_touch(*context)) deliver_fault(signal, info, context);
  }
  errno = saved_errno;
}

void show_as_sent(siginfo_t& info) noexcept {
  if (info.si_signo != proxy) return;
  info.si_signo = SIGSEGV;
  if (info.si_code != SI_QUEUE || info.si_value.sival_ptr != &sent_by_kill) return;
  info.si_code = SI_USER;
  info.si_value = {};
}

void on_proxy(int, siginfo_t* info, void* argument) {
  show_as_sent(*info);
  const Action action = action_of(SIGSEGV);
  if (action.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN)) return;
  if (!action.is_function())
    return end_by_default(SIGSEGV, info, static_cast<ucontext_t*>(argument));
  if (action.has(SA_RESETHAND)) reset_to_default(SIGSEGV);
  call_function(SIGSEGV, info, argument);
}

void on_any(int signal, siginfo_t* info, void* argument) { call_function(signal, info, argument); }

// A page at a time: a load, or an addition of nothing to a byte.
bool try_touch(std::uintptr_t begin, std::size_t size, bool writes) noexcept {
  if (begin + size < begin) return false;
  for (std::uintptr_t at = begin; at < begin + size; at = (at | 4095) + 1)
    if ((writes ? sluice_guard_store(at) : sluice_guard_load(at)) != 0) return false;
  return true;
}

}  // namespace sluice::guard
