// Items 4, 6, 8 and 9: stacks, what an access must leave alone, and every way out of a handler.
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "cases.hpp"

using namespace cases;

namespace {

sigjmp_buf way_out;
jmp_buf plain_way_out;
volatile int calls;

// An alternate stack, and whether an address is on it. What outgrows it dies.
struct Alternate {
  static constexpr std::size_t below = 4096;
  explicit Alternate(std::size_t size) {
    memory = static_cast<char*>(mmap(nullptr, below + size, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) +
             below;
    mprotect(memory - below, below, PROT_NONE);
    stack.ss_sp = memory;
    stack.ss_size = size;
    if (sigaltstack(&stack, nullptr) != 0) say("sigaltstack failed");
  }
  [[nodiscard]] bool holds(const void* address) const {
    return address >= memory && address < memory + stack.ss_size;
  }
  char* memory;
  stack_t stack = {};
};
Alternate* alternate;

void tell_stack(int signal, siginfo_t* info, void* argument) {
  ++calls;
  int local = 0;
  stack_t now;
  sigaltstack(nullptr, &now);
  const auto* const context = static_cast<ucontext_t*>(argument);
  say("signal %d code %d on alternate %d, flags %d, context's flags %d size right %d", signal,
      info->si_code, alternate->holds(&local), now.ss_flags, context->uc_stack.ss_flags,
      context->uc_stack.ss_size == alternate->stack.ss_size);
  siglongjmp(way_out, 1);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion"
int overflow(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return overflow(depth + 1) + frame[0];
}
#pragma GCC diagnostic pop

}  // namespace

CASE(handler_on_the_interrupted_stack) {
  static Alternate mine(65536);
  alternate = &mine;
  for (const int flags : {SA_SIGINFO, SA_SIGINFO | SA_ONSTACK}) {
    set(SIGSEGV, tell_stack, flags);
    if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
    if (sigsetjmp(way_out, 1) == 0) raise(SIGSEGV);
    say("%d", *managed());
  }
}
static void return_past(int, siginfo_t*, void* argument) {
  ++calls;
  auto* const context = static_cast<ucontext_t*>(argument);
  context->uc_mcontext.gregs[REG_RAX] = 1234;
  context->uc_mcontext.gregs[REG_RIP] = context->uc_mcontext.gregs[REG_RBX];
}
static long faulting_load() {
  long result = 0;
  asm volatile(
      "lea 1f(%%rip), %%rbx\n\t"
      "mov (%[page]), %%rax\n"
      "1:\n\t"
      "mov %%rax, %[result]"
      : [result] "=r"(result)
      : [page] "r"(wild())
      : "rax", "rbx", "memory");
  return result;
}
CASE(handlers_edit_registers) {
  static Alternate mine(65536);
  for (const int flags : {SA_SIGINFO, SA_SIGINFO | SA_ONSTACK}) {
    set(SIGSEGV, return_past, flags);
    say("%ld calls %d", faulting_load(), calls);
  }
}
CASE(stack_overflow_is_caught) {
  static Alternate mine(65536);
  alternate = &mine;
  set(SIGSEGV, tell_stack, SA_SIGINFO | SA_ONSTACK);
  for (int i = 0; i < 3; ++i) {
    if (sigsetjmp(way_out, 1) == 0) say("%d", overflow(0));
    say("%d", *managed());
  }
}
CASE(stack_overflow_without_alternate_dies) {
  set(SIGSEGV, tell_stack, SA_SIGINFO);
  say("%d", overflow(0));
}
CASE(stack_overflow_past_an_unused_alternate_dies) {
  static Alternate mine(65536);
  alternate = &mine;
  set(SIGSEGV, tell_stack, SA_SIGINFO);
  say("%d", overflow(0));
}
static volatile bool was_on_alternate;
static void note_stack(int, siginfo_t*, void*) {
  int local = 0;
  was_on_alternate = alternate->holds(&local);
  siglongjmp(way_out, 1);
}
CASE(small_alternate_stacks_are_enough) {
  // First a large one: the dynamic linker, which looks functions up when they are first called,
  // needs more than they do.
  static Alternate large(65536);
  alternate = &large;
  set(SIGSEGV, note_stack, SA_SIGINFO | SA_ONSTACK);
  if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
  static Alternate small(static_cast<std::size_t>(sysconf(_SC_MINSIGSTKSZ)) + 1024);
  alternate = &small;
  was_on_alternate = false;
  say("%d", *managed());
  if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
  say("on alternate %d", was_on_alternate);
}
static void touch_on_alternate(int, siginfo_t*, void*) {
  int local = 0;
  say("on alternate %d, %d", alternate->holds(&local), *managed());
}
CASE(touch_on_the_alternate_stack) {
  static Alternate mine(65536);
  alternate = &mine;
  set(SIGUSR1, touch_on_alternate, SA_SIGINFO | SA_ONSTACK);
  raise(SIGUSR1);
}
static void* touch_on_small_stack(void* page) {
  return reinterpret_cast<void*>(static_cast<long>(*static_cast<volatile int*>(page)));
}
CASE(touch_on_a_small_threads_stack) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 32768);
  pthread_t thread;
  void* result = nullptr;
  pthread_create(&thread, &attributes, touch_on_small_stack, const_cast<int*>(managed()));
  pthread_join(thread, &result);
  say("%ld", reinterpret_cast<long>(result));
}

// --- what an access leaves alone -----------------------------------------------------------------

CASE(errno_is_kept) {
  volatile int* const page = managed();
  errno = 77;
  const int seen = *page;
  say("%d errno %d", seen, errno);
}
CASE(red_zone_is_kept) {
  volatile int* const page = managed();
  long low = 0;
  long high = 0;
  asm volatile(
      "movq $1111, -8(%%rsp)\n\t"
      "movq $2222, -120(%%rsp)\n\t"
      "movl (%[page]), %%eax\n\t"
      "movq -8(%%rsp), %[high]\n\t"
      "movq -120(%%rsp), %[low]"
      : [low] "=&r"(low), [high] "=&r"(high)
      : [page] "r"(page)
      : "rax", "memory");
  say("%ld %ld", high, low);
}
CASE(registers_are_kept) {
  volatile int* const page = managed();
  const long pattern[2] = {0x1122334455667788, 0x0102030405060708};
  long after[2] = {};
  long flags = 0;
  asm volatile(
      "movdqu %[pattern], %%xmm7\n\t"
      "mov $5, %%r11\n\t"
      "cmp $6, %%r11\n\t"
      "movl (%[page]), %%eax\n\t"
      "pushf\n\t"
      "pop %[flags]\n\t"
      "movdqu %%xmm7, %[after]"
      : [after] "=m"(after), [flags] "=r"(flags)
      : [page] "r"(page), [pattern] "m"(pattern)
      : "rax", "r11", "xmm7", "memory", "cc");
  say("%lx %lx carry %ld", after[0], after[1], flags & 1);
}
static sigjmp_buf out_of_alarm;
static std::atomic<int> jumps{0};
static volatile sig_atomic_t may_jump;
static void jump(int) {
  if (may_jump == 0) return;
  ++jumps;
  siglongjmp(out_of_alarm, 1);
}
// Whatever an alarm jumps out of, it is never the answering of an access.
CASE(an_alarm_jumps_out_of_accesses) {
  constexpr int pages = 16;
  static volatile int* page[pages];
  static volatile int* away;
  for (auto& each : page) each = managed();
  set_plain(SIGALRM, jump);
  const itimerval often = {{0, 300}, {0, 300}};
  setitimer(ITIMER_REAL, &often, nullptr);
  static volatile int round;
  for (round = 0; round < 600; ++round) {
    away = page[round % pages];
    take_away(away);
    if (sigsetjmp(out_of_alarm, 1) == 0) {
      may_jump = 1;
      *away = *away + 1;
      for (volatile int spin = 0; spin < 20000; ++spin) {
      }
    }
    may_jump = 0;
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_DFL);
  bool all = true;
  for (auto& each : page) {
    take_away(each);
    all = all && *each >= held && *each <= held + 600 / pages + 1;
  }
  say("jumped %d, right %d", jumps > 0, all);
}

// --- ways out ------------------------------------------------------------------------------------

static void leave_masked(int) {
  ++calls;
  siglongjmp(way_out, 1);
}
static void leave_plainly(int) {
  ++calls;
  longjmp(plain_way_out, 1);
}
CASE(siglongjmp_out_of_the_handler) {
  set_plain(SIGSEGV, leave_masked);
  for (int i = 0; i < 100; ++i) {
    if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
    if (*managed() != held) say("wrong");
    if (i > 20) break;
  }
  say("calls %d blocked %d", calls, is_blocked(SIGSEGV));
}
CASE(longjmp_leaves_it_blocked) {
  set_plain(SIGSEGV, leave_plainly);
  if (setjmp(plain_way_out) == 0) *wild() = 1;
  say("calls %d blocked %d, %d", calls, is_blocked(SIGSEGV), *managed());
  if (setjmp(plain_way_out) == 0) *wild() = 1;
}
CASE(longjmp_with_nodefer) {
  set_plain(SIGSEGV, leave_plainly, SA_NODEFER);
  for (int i = 0; i < 5; ++i)
    if (setjmp(plain_way_out) == 0) *wild() = 1;
  say("calls %d blocked %d, %d", calls, is_blocked(SIGSEGV), *managed());
}
static void throw_out(int) { throw 42; }
static void throw_and_catch() {
  try {
    *wild() = 1;
  } catch (int value) {
    ++calls;
    if (calls == 1) say("caught %d blocked %d", value, is_blocked(SIGSEGV));
  }
}
CASE(throw_out_of_the_handler) {
  static Alternate mine(65536);
  set_plain(SIGSEGV, throw_out, SA_NODEFER);
  for (int i = 0; i < 3; ++i) throw_and_catch();
  set(SIGSEGV, [](int, siginfo_t*, void*) { throw 43; }, SA_SIGINFO | SA_NODEFER);
  throw_and_catch();
  say("calls %d, %d", calls, *managed());
}
static volatile int* inner_page;
static void touch_inside(int) {
  ++calls;
  say("inside %d", *inner_page);
  siglongjmp(way_out, 1);
}
CASE(touch_inside_the_programs_own_handler) {
  set_plain(SIGSEGV, touch_inside);
  inner_page = managed();
  for (int i = 0; i < 3; ++i) {
    take_away(inner_page);
    if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
  }
  say("calls %d", calls);
}
static void open_wild(int, siginfo_t* info, void*) {
  ++calls;
  mprotect(info->si_addr, 4096, PROT_READ | PROT_WRITE);
}
CASE(a_handler_that_repairs_and_returns) {
  volatile int* const page = wild();
  set(SIGSEGV, open_wild);
  *page = 6;
  say("%d calls %d, %d", *page, calls, *managed());
}
static ucontext_t main_context;
static ucontext_t other_context;
static void in_other_context() {
  say("other: blocked %d, %d", is_blocked(SIGSEGV), *managed());
  mask(SIG_BLOCK, SIGSEGV);
  swapcontext(&other_context, &main_context);
  say("other again: blocked %d", is_blocked(SIGSEGV));
}
CASE(swapcontext_carries_masks) {
  static char stack[65536];
  getcontext(&other_context);
  other_context.uc_stack.ss_sp = stack;
  other_context.uc_stack.ss_size = sizeof stack;
  other_context.uc_link = &main_context;
  makecontext(&other_context, in_other_context, 0);
  swapcontext(&main_context, &other_context);
  say("main: blocked %d, %d", is_blocked(SIGSEGV), *managed());
  swapcontext(&main_context, &other_context);
  say("main: blocked %d, %d", is_blocked(SIGSEGV), *managed());
}
static void leave_context(int) { setcontext(&main_context); }
CASE(setcontext_out_of_the_handler) {
  set_plain(SIGSEGV, leave_context);
  getcontext(&main_context);
  if (++calls <= 3) *wild() = 1;
  say("calls %d blocked %d, %d", calls, is_blocked(SIGSEGV), *managed());
}
CASE(a_forked_child_has_the_handlers) {
  set_plain(SIGSEGV, leave_masked);
  mask(SIG_BLOCK, SIGUSR1);
  say("%d", *managed());
  const pid_t child = fork();
  if (child == 0) {
    if (sigsetjmp(way_out, 1) == 0) *wild() = 1;
    raise(SIGSEGV == 11 ? SIGUSR1 : 0);
    say("child: calls %d USR1 blocked %d", calls, is_blocked(SIGUSR1));
    signal(SIGSEGV, SIG_DFL);
    *wild() = 1;
  }
  int status = 0;
  waitpid(child, &status, 0);
  say("child died of %d, calls %d, %d", WTERMSIG(status), calls, *managed());
}

// --- traces --------------------------------------------------------------------------------------

__attribute__((noinline)) static void the_function_that_faults() {
  *wild() = 1;
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) static void the_caller_of_it() {
  the_function_that_faults();
  asm volatile("" ::: "memory");
}
static void trace(int, siginfo_t*, void*) {
  void* frames[64];
  const int count = backtrace(frames, 64);
  const auto within = [](const void* frame, void (*function)()) {
    const auto at = reinterpret_cast<std::uintptr_t>(frame);
    const auto begin = reinterpret_cast<std::uintptr_t>(function);
    return at >= begin && at < begin + 64;
  };
  const bool sees_fault = std::any_of(frames, frames + count, [&](const void* frame) {
    return within(frame, the_function_that_faults);
  });
  const bool sees_caller = std::any_of(
      frames, frames + count, [&](const void* frame) { return within(frame, the_caller_of_it); });
  say("the trace has the fault %d and its caller %d", sees_fault, sees_caller);
  siglongjmp(way_out, 1);
}
CASE(traces_go_through_the_frame) {
  static Alternate mine(65536);
  void* warm[4];
  backtrace(warm, 4);  // loads the unwinder
  for (const int flags : {SA_SIGINFO, SA_SIGINFO | SA_ONSTACK}) {
    set(SIGSEGV, trace, flags);
    if (sigsetjmp(way_out, 1) == 0) the_caller_of_it();
  }
}
