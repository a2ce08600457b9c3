// syscall(): the calls about signals that programs make past libc's functions for them, and
// futexes, for which libc has none.
//
// The function itself is a few instructions of assembly: a number below is translated in C++, any
// other goes on to libc's with all registers and the stack as they are, because syscall(SYS_clone,
// ...) may return on a stack of its own. What it does not do: see a `syscall` instruction in other
// assembly (Go's runtime without cgo, static programs).
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "face/guard/buffers.hpp"

namespace sluice::guard {
namespace {

using os::in_handler::raw_call;
using SetPointer = const KernelMask*;

long finish(long result) noexcept {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

// Invalid addresses of the program's are for the kernel to refuse, or are refused as it does: after
// the effect of the call.
template <typename T>
bool is_valid(long at, bool writes) noexcept {
  return try_touch(static_cast<std::uintptr_t>(at), sizeof(T), writes);
}
// Stores a result; the call's result.
template <typename T>
long store(long at, const T& value) noexcept {
  if (at == 0) return 0;
  if (!is_valid<T>(at, true)) return -EFAULT;
  *reinterpret_cast<T*>(at) = value;
  return 0;
}

// A set that goes in; `address` is that of its translation.
struct TranslatedSet {
  explicit TranslatedSet(long at) noexcept : address(at) {
    if (at == 0 || !is_valid<KernelMask>(at, false)) return;
    mask = to_kernel(*reinterpret_cast<SetPointer>(at));
    address = reinterpret_cast<long>(&mask);
  }
  KernelMask mask = 0;
  long address;
};

long call_action(long signal, long wanted, long before, long size, const void* caller) noexcept {
  if (size != sizeof(KernelMask)) return -EINVAL;
  Action action;
  Action old;
  if (wanted != 0 && !is_valid<Action>(wanted, false)) return -EFAULT;
  if (wanted != 0) action = *reinterpret_cast<const Action*>(wanted);
  const int error =
      change_action(static_cast<int>(signal), wanted != 0 ? &action : nullptr, &old, caller);
  return error == 0 ? store(before, old) : -error;
}

long call_mask(long how, long wanted, long before, long size) noexcept {
  const TranslatedSet passed(wanted);
  KernelMask old = 0;
  const long result =
      raw_call(SYS_rt_sigprocmask, how, passed.address, reinterpret_cast<long>(&old), size, 0, 0);
  return result == 0 ? store(before, to_program(old)) : result;
}

long call_wait(long set, long info, long timeout, long size) noexcept {
  const TranslatedSet passed(set);
  siginfo_t mine = {};
  const long got = raw_call(SYS_rt_sigtimedwait, passed.address, reinterpret_cast<long>(&mine),
                            timeout, size, 0, 0);
  show_as_sent(mine);
  if (got > 0 && store(info, mine) != 0) return -EFAULT;
  return got == proxy ? SIGSEGV : got;
}

// A wait on a word in managed memory that the kernel cannot read: nothing has happened, so it is
// repeated once the page is on the host. std::atomic::wait() uses this.
long call_futex(long word, long operation, long value, long timeout, long second,
                long third) noexcept {
  long result = 0;
  for (int attempt = 0; attempt < most_attempts(); ++attempt) {
    result = raw_call(SYS_futex, word, operation, value, timeout, second, third);
    if (result != -EFAULT || !has_windows()) return result;
    const Buffer words[] = {out(reinterpret_cast<const int*>(word)),
                            out(reinterpret_cast<const int*>(second)),
                            in(reinterpret_cast<const struct timespec*>(timeout))};
    const bool has_second = is_managed(words[1].place, words[1].size);
    const bool has_timeout = is_managed(words[2].place, words[2].size);
    if (!is_managed(words[0].place, words[0].size) && !has_second && !has_timeout) return result;
    bring(words, 1);
    if (has_second) bring(words + 1, 1);
    if (has_timeout) bring(words + 2, 1);
  }
  return result;
}

long own_form(long process, long signal) noexcept {
  return signal == SIGSEGV && process == raw_call(SYS_getpid) ? proxy : signal;
}

}  // namespace

extern "C" __attribute__((visibility("hidden"), used)) long sluice_guard_signal_call(
    long number, long a, long b, long c, long d, long e, long f) noexcept {
  ensure_ready();
  switch (number) {
    case SYS_rt_sigaction:
      return finish(call_action(a, b, c, d, __builtin_return_address(0)));
    case SYS_rt_sigprocmask:
      return finish(call_mask(a, b, c, d));
    case SYS_rt_sigpending: {
      const long result = raw_call(number, a, b, 0, 0, 0, 0);
      auto& set = *reinterpret_cast<KernelMask*>(a);
      if (result == 0) set = to_program(set);
      return finish(result);
    }
    case SYS_rt_sigsuspend: {
      const TranslatedSet passed(a);
      return finish(raw_call(number, passed.address, b, 0, 0, 0, 0));
    }
    case SYS_rt_sigtimedwait:
      return finish(call_wait(a, b, c, d));
    case SYS_kill:
    case SYS_rt_sigqueueinfo:
      return finish(raw_call(number, a, own_form(a, b), c, 0, 0, 0));
    case SYS_tkill:
      return finish(raw_call(number, a, b == SIGSEGV ? proxy : b, 0, 0, 0, 0));
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
      return finish(raw_call(number, a, b, own_form(a, c), d, 0, 0));
    case SYS_signalfd4: {
      const TranslatedSet passed(b);
      return finish(raw_call(number, a, passed.address, c, d, 0, 0));
    }
    case SYS_ppoll: {
      const TranslatedSet passed(d);
      return finish(raw_call(number, a, b, c, passed.address, e, 0));
    }
    case SYS_pselect6: {  // the set and its size are in a structure
      if (f == 0 || !is_valid<long[2]>(f, false)) return finish(raw_call(number, a, b, c, d, e, f));
      const auto* const given = reinterpret_cast<const long*>(f);
      const TranslatedSet passed(given[0]);
      const long pair[] = {passed.address, given[1]};
      return finish(raw_call(number, a, b, c, d, e, reinterpret_cast<long>(pair)));
    }
    case SYS_futex:
      return finish(call_futex(a, b, c, d, e, f));
    case SYS_epoll_pwait2:
    case SYS_epoll_pwait: {
      const TranslatedSet passed(e);
      return finish(raw_call(number, a, b, c, d, passed.address, f));
    }
    default:
      return finish(raw_call(number, a, b, c, d, e, f));
  }
}

namespace {
__attribute__((used)) void* next_syscall() noexcept {
  return reinterpret_cast<void*>(SLUICE_NEXT(syscall));
}
}  // namespace
extern "C" __attribute__((visibility("hidden"), used)) void* sluice_guard_next_syscall() noexcept {
  return next_syscall();
}

}  // namespace sluice::guard

static_assert(SYS_rt_sigaction == 13 && SYS_rt_sigprocmask == 14 && SYS_kill == 62 &&
              SYS_rt_sigpending == 127 && SYS_rt_sigtimedwait == 128 &&
              SYS_rt_sigqueueinfo == 129 && SYS_rt_sigsuspend == 130 && SYS_tkill == 200 &&
              SYS_futex == 202 && SYS_tgkill == 234 && SYS_pselect6 == 270 && SYS_ppoll == 271 &&
              SYS_epoll_pwait == 281 && SYS_signalfd4 == 289 && SYS_rt_tgsigqueueinfo == 297 &&
              SYS_epoll_pwait2 == 441);
asm(R"(
  .text
  .globl syscall
  .type syscall, @function
syscall:
  .cfi_startproc
  cmp $13, %edi
  je 1f
  cmp $14, %edi
  je 1f
  cmp $62, %edi
  je 1f
  cmp $127, %edi
  jb 2f
  cmp $130, %edi
  jbe 1f
  cmp $200, %edi
  je 1f
  cmp $202, %edi
  je 1f
  cmp $234, %edi
  je 1f
  cmp $270, %edi
  je 1f
  cmp $271, %edi
  je 1f
  cmp $281, %edi
  je 1f
  cmp $289, %edi
  je 1f
  cmp $297, %edi
  je 1f
  cmp $441, %edi
  je 1f
2:
  push %rdi
  .cfi_adjust_cfa_offset 8
  push %rsi
  .cfi_adjust_cfa_offset 8
  push %rdx
  .cfi_adjust_cfa_offset 8
  push %rcx
  .cfi_adjust_cfa_offset 8
  push %r8
  .cfi_adjust_cfa_offset 8
  push %r9
  .cfi_adjust_cfa_offset 8
  sub $8, %rsp
  .cfi_adjust_cfa_offset 8
  call sluice_guard_next_syscall
  add $8, %rsp
  .cfi_adjust_cfa_offset -8
  pop %r9
  .cfi_adjust_cfa_offset -8
  pop %r8
  .cfi_adjust_cfa_offset -8
  pop %rcx
  .cfi_adjust_cfa_offset -8
  pop %rdx
  .cfi_adjust_cfa_offset -8
  pop %rsi
  .cfi_adjust_cfa_offset -8
  pop %rdi
  .cfi_adjust_cfa_offset -8
  jmp *%rax
1:
  jmp sluice_guard_signal_call
  .cfi_endproc
  .size syscall, .-syscall
)");
