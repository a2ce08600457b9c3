// Items 1 to 3 of docs/signals.md: what is a fault of ours, default and ignoring, flags and the
// functions that set handlers.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "cases.hpp"

using namespace cases;

namespace {

sigjmp_buf way_out;
volatile int calls;

void leave(int) {
  ++calls;
  siglongjmp(way_out, 1);
}
void leave_with(int signal, siginfo_t* info, void*) {
  ++calls;
  say("signal %d code %d at wild %d", signal, info->si_code,
      info->si_addr == const_cast<int*>(wild()));
  siglongjmp(way_out, 1);
}
void count(int) { ++calls; }
void tell(int signal, siginfo_t* info, void*) {
  ++calls;
  say("signal %d code %d from me %d value %d", signal, info->si_code, info->si_pid == getpid(),
      info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}
// A touch of wild memory that a handler leaves by siglongjmp.
void touch_wild() {
  if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
}

}  // namespace

CASE(managed_touch_needs_no_handler) { say("%d", *managed()); }
CASE(managed_touch_is_not_for_the_handler) {
  set_plain(SIGSEGV, count);
  volatile int* const page = managed();
  say("%d", *page);
  *page = 5;
  take_away(page);
  *page = *page + 1;
  say("%d calls %d", *page, calls);
}
CASE(kill_is_never_ours) {
  // si_addr aliases si_pid: whatever it is, a kill is no fault.
  set(SIGSEGV, tell);
  kill(getpid(), SIGSEGV);
  raise(SIGSEGV);
  siginfo_t forged = {};
  forged.si_code = SI_QUEUE;
  forged.si_addr = const_cast<int*>(managed());
  syscall(SYS_rt_sigqueueinfo, getpid(), SIGSEGV, &forged);
  say("calls %d", calls);
}
CASE(wild_fault_reaches_the_handler) {
  set(SIGSEGV, leave_with);
  touch_wild();
  say("%d", *managed());
  touch_wild();
  say("calls %d", calls);
}
CASE(address_without_form) {
  set(SIGSEGV, leave_with);
  if (sigsetjmp(way_out, 1) == 0)
    *reinterpret_cast<volatile int*>(std::uintptr_t{0x8000000000000000}) = 1;
}
CASE(default_dies) {
  say("%d", *managed());
  *wild() = 1;
}
CASE(default_set_again_dies) {
  set_plain(SIGSEGV, count);
  say("%d", *managed());
  signal(SIGSEGV, SIG_DFL);
  *wild() = 1;
}
CASE(default_raise_dies) { raise(SIGSEGV); }
CASE(default_kill_dies) {
  kill(getpid(), SIGSEGV);
  for (;;) pause();
}
CASE(ignored_fault_dies) {
  signal(SIGSEGV, SIG_IGN);
  say("%d", *managed());
  *wild() = 1;
}
CASE(ignored_raise_lives) {
  signal(SIGSEGV, SIG_IGN);
  raise(SIGSEGV);
  kill(getpid(), SIGSEGV);
  say("%d", *managed());
}
CASE(resethand) {
  set_plain(SIGSEGV, leave, static_cast<int>(SA_RESETHAND));
  touch_wild();
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  say("default %d", now.sa_handler == SIG_DFL);
  say("%d", *managed());
  touch_wild();
}
CASE(resethand_by_raise) {
  set_plain(SIGSEGV, count, static_cast<int>(SA_RESETHAND));
  raise(SIGSEGV);
  say("calls %d", calls);
  say("%d", *managed());
  raise(SIGSEGV);
}
CASE(resethand_of_another) {
  set(SIGUSR1, tell, static_cast<int>(SA_RESETHAND) | SA_SIGINFO);
  raise(SIGUSR1);
  struct sigaction now;
  sigaction(SIGUSR1, nullptr, &now);
  say("default %d", now.sa_handler == SIG_DFL);
}

static void nest(int) {
  if (++calls < 4) *wild() = 1;
  siglongjmp(way_out, 1);
}
CASE(nodefer_nests) {
  set_plain(SIGSEGV, nest, SA_NODEFER);
  touch_wild();
  say("calls %d %d", calls, *managed());
}
CASE(without_nodefer_a_nested_fault_dies) {
  set_plain(SIGSEGV, nest);
  touch_wild();
}
static void tell_masks(int) {
  say("in handler: SEGV %d USR1 %d USR2 %d", is_blocked(SIGSEGV), is_blocked(SIGUSR1),
      is_blocked(SIGUSR2));
  say("%d", *managed());
  siglongjmp(way_out, 1);
}
CASE(masks_in_the_handler) {
  for (const int flags : {0, SA_NODEFER}) {
    struct sigaction action = {};
    action.sa_handler = tell_masks;
    action.sa_flags = flags;
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGSEGV, &action, nullptr);
    touch_wild();
    if (sigsetjmp(way_out, 1) == 0) raise(SIGSEGV);
    say("after: SEGV %d USR1 %d", is_blocked(SIGSEGV), is_blocked(SIGUSR1));
  }
}
CASE(queries_give_back_the_programs_own) {
  struct sigaction before = set(SIGSEGV, tell);
  say("first default %d flags %x", before.sa_handler == SIG_DFL,
      static_cast<unsigned>(before.sa_flags));
  struct sigaction action = {};
  action.sa_handler = count;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &before);
  say("own %d flags %x", before.sa_sigaction == tell, static_cast<unsigned>(before.sa_flags));
  sigaction(SIGSEGV, nullptr, &before);
  say("own %d flags %x mask SEGV %d USR1 %d", before.sa_handler == count,
      static_cast<unsigned>(before.sa_flags), sigismember(&before.sa_mask, SIGSEGV),
      sigismember(&before.sa_mask, SIGUSR1));
  set(SIGUSR1, tell, SA_SIGINFO | SA_NODEFER);
  sigaction(SIGUSR1, nullptr, &before);
  say("own %d flags %x", before.sa_sigaction == tell, static_cast<unsigned>(before.sa_flags));
  say("%d", *managed());
}
CASE(bad_arguments) {
  struct sigaction action = {};
  for (const int signal : {0, -1, 65, SIGKILL, SIGSTOP, 32}) {
    errno = 0;
    const int result = sigaction(signal, &action, nullptr);
    say("%d: %d %d", signal, result, errno);
  }
  errno = 0;
  say("%d %d", signal(SIGKILL, count) == SIG_ERR, errno);
  say("%d %d", signal(SIGSEGV, SIG_ERR) == SIG_ERR, errno);
}
CASE(signal_by_bsd_rules) {
  say("default %d", signal(SIGSEGV, count) == SIG_DFL);
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  say("flags %x SEGV in mask %d", static_cast<unsigned>(now.sa_flags),
      sigismember(&now.sa_mask, SIGSEGV));
  raise(SIGSEGV);
  raise(SIGSEGV);
  say("calls %d own %d %d", calls, signal(SIGSEGV, leave) == count, *managed());
  touch_wild();
  say("calls %d", calls);
}
extern "C" void (*bsd_signal(int, void (*)(int)))(int);
CASE(bsd_signal_is_signal) {
  bsd_signal(SIGSEGV, leave);
  touch_wild();
  touch_wild();
  say("calls %d %d", calls, *managed());
}
CASE(sysv_signal_is_for_once) {
  sysv_signal(SIGSEGV, leave);
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  say("flags %x", static_cast<unsigned>(now.sa_flags));
  touch_wild();
  say("calls %d %d", calls, *managed());
  touch_wild();
}
CASE(sigset_and_hold) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  say("default %d", sigset(SIGSEGV, count) == SIG_DFL);
  say("own %d", sigset(SIGSEGV, SIG_HOLD) == count);
  say("blocked %d", is_blocked(SIGSEGV));
  raise(SIGSEGV);
  say("calls %d %d", calls, *managed());
  say("held %d calls %d", sigset(SIGSEGV, count) == SIG_HOLD, calls);
  sighold(SIGSEGV);
  say("blocked %d %d", is_blocked(SIGSEGV), *managed());
  raise(SIGSEGV);
  sigrelse(SIGSEGV);
  say("calls %d", calls);
  sigignore(SIGSEGV);
  raise(SIGSEGV);
  say("calls %d bad %d", calls, sighold(99));
#pragma GCC diagnostic pop
}
CASE(siginterrupt_changes_restart) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  for (const int on : {1, 0}) {
    siginterrupt(SIGSEGV, on);
    signal(SIGSEGV, count);
    struct sigaction now;
    sigaction(SIGSEGV, nullptr, &now);
    say("restart %d", (now.sa_flags & SA_RESTART) != 0);
  }
#pragma GCC diagnostic pop
}
CASE(raw_sigaction) {
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    unsigned long mask;
  } action = {SIG_IGN, 0, nullptr, 0}, before = {};
  set_plain(SIGSEGV, count, SA_NODEFER);
  say("%ld", syscall(SYS_rt_sigaction, SIGSEGV, &action, &before, 8));
  say("own %d flags %lx", before.handler == count, before.flags);
  raise(SIGSEGV);
  say("calls %d %d", calls, *managed());
  errno = 0;
  say("%ld %d", syscall(SYS_rt_sigaction, SIGSEGV, &action, nullptr, 7), errno);
}
// The driver's own is still first when the program sets its handler over and over.
CASE(handlers_change_all_the_time) {
  volatile int* const page = managed();
  for (int i = 0; i < 200; ++i) {
    set_plain(SIGSEGV, i % 2 == 0 ? count : leave, i % 3 == 0 ? SA_ONSTACK : 0);
    take_away(page);
    *page = *page + 1;
  }
  say("%d calls %d", *page, calls);
}
