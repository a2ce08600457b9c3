// The handlers that the kernel knows. PLEASE READ before changing: signal context; no allocation, no stdio, no locks, no includes.
//
// SIGSEGV comes here first, whatever the program has set. A fault is offered to the drivers; what is not theirs becomes the
// program's in the way the kernel would have made it so: its handler begins on the stack and with the mask that it would natively
// have, with the kernel's frame above it, so unwinders, siglongjmp and edits of the context find what they know. A signal that
// somebody sent comes as the proxy, whose action is the program's own but for the function, so the kernel itself keeps
// pending, coalesced and waited-for signals right; only what another process sends as SIGSEGV is sent on as the proxy here.
//
// Functions that stand between the kernel's frame and the program's handler are not noexcept: a handler may throw.
// Cost: 0.2 us more than native for the program's own handler (one call to set the mask).
// What it does not do: see raw system calls of assembly or of static programs.
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

using namespace sluice::os::in_handler;  // NOLINT(google-build-using-namespace): its every word

thread_local unsigned requeue_count = 0;
// Where a touch of resolve_buffer() goes on when it is a wild one; 0 outside of those.
thread_local std::uintptr_t way_out_of_touch = 0;

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

// Whether the fault is that of try_touch() itself, and not of a handler that interrupted it.
bool is_touch(const ucontext_t& context) noexcept {
  const auto at = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
  return way_out_of_touch != 0 && way_out_of_touch - at < 16;
}

// Stands in the value of what carries kill()'s signal on; see send_on_as_proxy().
const char sent_by_kill = 0;

// To this thread if it was meant for it, else to the process, which finds a thread that does not block it. Linux lets only a process's
// first thread send with kill()'s code, and another thread gets the signal where the first one blocks everything for a moment, as in
// fork(). Such a thread sends it as if queued, and show_as_sent() gives it its form again.
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
    if (is_touch(*context))
      context->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(way_out_of_touch);
    else
      deliver_fault(signal, info, context);
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

// One access to *at: `wild` stays 1 if it goes on at the way out.
#define SLUICE_GUARD_TOUCH(access)                          \
  asm volatile(                                             \
      "lea 1f(%%rip), %%rax\n\t"                            \
      "mov %%rax, %[way_out]\n\t" access                    \
      "\n\t"                                                \
      "xor %[wild], %[wild]\n"                              \
      "1:"                                                  \
      : [wild] "+r"(wild), [way_out] "=m"(way_out_of_touch) \
      : [at] "r"(at)                                        \
      : "rax", "memory", "cc")

// A page at a time: load, or add nothing to a byte, and notice if that was a wild access.
bool try_touch(std::uintptr_t begin, std::size_t size, bool writes) noexcept {
  bool all = true;
  for (std::uintptr_t at = begin; at < begin + size && all; at = (at | 4095) + 1) {
    int wild = 1;
    if (writes)
      SLUICE_GUARD_TOUCH("lock orb $0, (%[at])");
    else
      SLUICE_GUARD_TOUCH("movb (%[at]), %%al");
    way_out_of_touch = 0;
    all = wild == 0;
  }
  return all;
}

}  // namespace sluice::guard
