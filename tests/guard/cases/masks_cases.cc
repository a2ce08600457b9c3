// Items 5 and 7: masks of all signals, the context's mask, blocked signals and what becomes of
// those that are sent.
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "cases.hpp"

using namespace cases;

namespace {

std::atomic<int> calls{0};
std::atomic<int> wrong_thread{0};
pthread_t main_thread;

void count(int) { ++calls; }
void tell(int signal, siginfo_t* info, void*) {
  ++calls;
  say("signal %d code %d from me %d value %d", signal, info->si_code, info->si_pid == getpid(),
      info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}
sigset_t just(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}
void block_all() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}
void* touch_managed(void*) {
  say("in thread: SEGV blocked %d, %d", is_blocked(SIGSEGV), *managed());
  return nullptr;
}
void run_thread(void* (*run)(void*), void* argument = nullptr) {
  pthread_t thread;
  pthread_create(&thread, nullptr, run, argument);
  pthread_join(thread, nullptr);
}
void tell_pending() {
  sigset_t pending;
  sigpending(&pending);
  say("pending SEGV %d USR1 %d", sigismember(&pending, SIGSEGV), sigismember(&pending, SIGUSR1));
}
}  // namespace

static void touch_in_handler(int signal) {
  say("in %d: SEGV blocked %d, %d", signal, is_blocked(SIGSEGV), *managed());
}
CASE(touch_where_a_handler_masks_all) {
  struct sigaction action = {};
  action.sa_handler = touch_in_handler;
  sigfillset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  say("after: SEGV blocked %d", is_blocked(SIGSEGV));
}
static void look_at_context(int, siginfo_t*, void* argument) {
  auto* const context = static_cast<ucontext_t*>(argument);
  say("context: SEGV %d USR2 %d STKFLT %d", sigismember(&context->uc_sigmask, SIGSEGV),
      sigismember(&context->uc_sigmask, SIGUSR2), sigismember(&context->uc_sigmask, SIGSTKFLT));
  say("%d", *managed());
}
CASE(context_shows_the_mask) {
  set(SIGUSR1, look_at_context);
  raise(SIGUSR1);
  mask(SIG_BLOCK, SIGSEGV);
  raise(SIGUSR1);
  mask(SIG_BLOCK, SIGUSR2);
  mask(SIG_UNBLOCK, SIGSEGV);
  raise(SIGUSR1);
}
static void edit_context(int, siginfo_t*, void* argument) {
  auto* const context = static_cast<ucontext_t*>(argument);
  if (sigismember(&context->uc_sigmask, SIGSEGV) != 0)
    sigdelset(&context->uc_sigmask, SIGSEGV);
  else
    sigaddset(&context->uc_sigmask, SIGSEGV);
}
CASE(context_edits_the_mask) {
  set(SIGUSR1, edit_context);
  for (int i = 0; i < 3; ++i) {
    raise(SIGUSR1);
    say("blocked %d, %d", is_blocked(SIGSEGV), *managed());
  }
}
CASE(full_and_empty_masks) {
  sigset_t all;
  sigset_t now;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  sigprocmask(SIG_SETMASK, nullptr, &now);
  for (int signal = 1; signal < 65; ++signal)
    if (sigismember(&now, signal) == 0) say("not %d", signal);
  say("%d", *managed());
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, &now);
  say("SEGV was %d", sigismember(&now, SIGSEGV));
  sigprocmask(SIG_SETMASK, nullptr, &now);
  for (int signal = 1; signal < 65; ++signal)
    if (sigismember(&now, signal) != 0) say("%d", signal);
}
CASE(blocked_touch_goes_on) {
  block_all();
  say("blocked %d, %d", is_blocked(SIGSEGV), *managed());
  run_thread(touch_managed);
}
CASE(blocked_wild_fault_dies) {
  set_plain(SIGSEGV, count);
  mask(SIG_BLOCK, SIGSEGV);
  say("%d", *managed());
  *wild() = 1;
}
CASE(blocked_raise_waits) {
  set(SIGSEGV, tell);
  mask(SIG_BLOCK, SIGSEGV);
  raise(SIGSEGV);
  tell_pending();
  say("calls %d, %d", calls.load(), *managed());
  mask(SIG_UNBLOCK, SIGSEGV);
  say("calls %d", calls.load());
  tell_pending();
}
CASE(blocked_signals_coalesce) {
  set(SIGSEGV, tell);
  mask(SIG_BLOCK, SIGSEGV);
  for (int i = 1; i < 4; ++i) sigqueue(getpid(), SIGSEGV, sigval{.sival_int = i});
  mask(SIG_UNBLOCK, SIGSEGV);
  for (int i = 0; i < 3; ++i) raise(SIGSEGV);
  say("calls %d", calls.load());
}
CASE(pending_is_dropped_by_ignoring) {
  set(SIGSEGV, tell);
  mask(SIG_BLOCK, SIGSEGV);
  kill(getpid(), SIGSEGV);
  signal(SIGSEGV, SIG_IGN);
  tell_pending();
  set(SIGSEGV, tell);
  mask(SIG_UNBLOCK, SIGSEGV);
  say("calls %d", calls.load());
}
CASE(blocked_default_dies_when_unblocked) {
  mask(SIG_BLOCK, SIGSEGV);
  raise(SIGSEGV);
  say("%d", *managed());
  mask(SIG_UNBLOCK, SIGSEGV);
}
CASE(codes_and_values) {
  set(SIGSEGV, tell);
  kill(getpid(), SIGSEGV);
  raise(SIGSEGV);
  pthread_kill(pthread_self(), SIGSEGV);
  sigqueue(getpid(), SIGSEGV, sigval{.sival_int = 77});
  pthread_sigqueue(pthread_self(), SIGSEGV, sigval{.sival_int = 78});
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSEGV);
  say("calls %d", calls.load());
}
CASE(sigwait_takes_it) {
  const sigset_t set = just(SIGSEGV);
  mask(SIG_BLOCK, SIGSEGV);
  raise(SIGSEGV);
  int got = 0;
  say("%d", sigwait(&set, &got));
  say("got %d", got);
  tell_pending();
}
CASE(sigwaitinfo_takes_values) {
  const sigset_t set = just(SIGSEGV);
  mask(SIG_BLOCK, SIGSEGV);
  sigqueue(getpid(), SIGSEGV, sigval{.sival_int = 12});
  siginfo_t info = {};
  const int got = sigwaitinfo(&set, &info);
  say("got %d signal %d code %d value %d", got, info.si_signo, info.si_code,
      info.si_value.sival_int);
  const timespec soon = {0, 1000000};
  errno = 0;
  say("%d", sigtimedwait(&set, &info, &soon));
  say("errno %d, %d", errno, *managed());
}
static void* send_later(void*) {
  usleep(50000);
  pthread_kill(main_thread, SIGSEGV);
  return nullptr;
}
CASE(sigsuspend_lets_it_in) {
  set(SIGSEGV, tell);
  mask(SIG_BLOCK, SIGSEGV);
  sigset_t without;
  sigprocmask(SIG_SETMASK, nullptr, &without);
  sigdelset(&without, SIGSEGV);
  main_thread = pthread_self();
  pthread_t sender;
  pthread_create(&sender, nullptr, send_later, nullptr);
  errno = 0;
  say("%d", sigsuspend(&without));
  say("errno %d calls %d blocked %d, %d", errno, calls.load(), is_blocked(SIGSEGV), *managed());
  pthread_join(sender, nullptr);
}
static void note_thread(int) {
  ++calls;
  if (pthread_equal(pthread_self(), main_thread) != 0) ++wrong_thread;
}
static void* wait_for_call(void*) {
  mask(SIG_UNBLOCK, SIGSEGV);
  kill(getpid(), SIGSEGV);
  while (calls == 0) usleep(1000);
  return nullptr;
}
CASE(another_thread_takes_what_this_one_blocks) {
  main_thread = pthread_self();
  set_plain(SIGSEGV, note_thread);
  mask(SIG_BLOCK, SIGSEGV);
  run_thread(wait_for_call);
  say("calls %d in the wrong thread %d", calls.load(), wrong_thread.load());
}
CASE(another_process_sends_it) {
  set(SIGSEGV, tell, SA_SIGINFO | SA_RESTART);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    kill(parent, SIGSEGV);
    _exit(0);
  }
  while (calls == 0) usleep(1000);
  waitpid(child, nullptr, 0);
  say("calls %d, %d", calls.load(), *managed());
}
CASE(another_process_sends_it_blocked) {
  set(SIGSEGV, tell);
  mask(SIG_BLOCK, SIGSEGV);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    kill(parent, SIGSEGV);
    kill(parent, SIGSEGV);
    _exit(0);
  }
  while (waitpid(child, nullptr, 0) < 0) {
  }
  tell_pending();
  say("%d", *managed());
  mask(SIG_UNBLOCK, SIGSEGV);
  say("calls %d", calls.load());
}
// The kernel gives it to another thread while the first one blocks everything, which only the
// kernel knows of: as within fork().
CASE(another_process_sends_it_while_the_first_thread_is_deaf) {
  set(SIGSEGV, tell);
  (void)managed();
  std::atomic<bool> done{false};
  mask(SIG_BLOCK, SIGSEGV);
  std::thread other([&] {
    while (!done) usleep(1000);
  });
  const auto deafen = [](int how) {
    const unsigned long all = ~0UL;
    const unsigned long none = 0;
    long result = SYS_rt_sigprocmask;
    register long bytes asm("r10") = 8;
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(static_cast<long>(SIG_SETMASK)), "S"(how == SIG_BLOCK ? &all : &none),
                   "d"(0L), "r"(bytes)
                 : "rcx", "r11", "memory");
  };
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    usleep(100000);
    kill(parent, SIGSEGV);
    _exit(0);
  }
  // No call meanwhile: the guard looks at what calls are given, and needs its signal for that.
  // Should the child come late, the first thread gets the signal itself, and the outcome is the
  // same.
  deafen(SIG_BLOCK);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < until) {
  }
  deafen(SIG_UNBLOCK);
  while (waitpid(child, nullptr, 0) < 0) {
  }
  mask(SIG_UNBLOCK, SIGSEGV);
  say("calls %d", calls.load());
  done = true;
  other.join();
}
CASE(restart_and_interrupt) {
  for (const int flags : {SA_RESTART, 0}) {
    set_plain(SIGSEGV, count, flags);
    int ends[2];
    if (pipe(ends) != 0) return;
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
      usleep(100000);
      syscall(SYS_tgkill, parent, parent, SIGSEGV);
      usleep(200000);
      [[maybe_unused]] const ssize_t written = write(ends[1], "x", 1);
      _exit(0);
    }
    char byte = 0;
    errno = 0;
    const ssize_t got = read(ends[0], &byte, 1);
    say("flags %x: read %zd errno %d", static_cast<unsigned>(flags), got, got < 0 ? errno : 0);
    waitpid(child, nullptr, 0);
  }
}
CASE(raw_masks) {
  const unsigned long segv = 1UL << (SIGSEGV - 1);
  unsigned long before = 0;
  say("%ld", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &segv, &before, 8));
  say("before %d now %d, %d", (before & segv) != 0, is_blocked(SIGSEGV), *managed());
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &before, 8);
  say("raw %d", (before & segv) != 0);
  raise(SIGSEGV);
  syscall(SYS_rt_sigpending, &before, 8);
  say("pending %d", before == segv);
}
CASE(bsd_masks) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  say("%x", static_cast<unsigned>(sigblock(1 << (SIGSEGV - 1))));
  say("%x, %d", static_cast<unsigned>(sigblock(0)), *managed());
  say("%x", static_cast<unsigned>(sigsetmask(1 << (SIGUSR1 - 1))));
  say("%x", static_cast<unsigned>(sigblock(0)));
#pragma GCC diagnostic pop
}
static std::atomic<bool> notified{false};
static void notify(sigval value) {
  say("value %d blocked %d, %d", value.sival_int, is_blocked(SIGSEGV), *managed());
  notified = true;
}
CASE(timers_thread_touches) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = notify;
  event.sigev_value.sival_int = 31;
  timer_t timer;
  say("%d", timer_create(CLOCK_MONOTONIC, &event, &timer));
  const itimerspec soon = {{0, 0}, {0, 1000000}};
  timer_settime(timer, 0, &soon, nullptr);
  while (!notified) usleep(1000);
}
