// Every function of libc that takes, returns or waits with a set of signals.
//
// All work the same way: the program's form is converted to the kernel's, and results back
// (state.hpp). Waiting functions return the proxy as SIGSEGV. Real functions are libc's own, which
// are cancellation points where they ought to be. Cost: a few instructions a call. What it does not
// do: name SIGSEGV in records read from a signalfd (they contain SIGSTKFLT).
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

#include "face/guard/buffers.hpp"

namespace sluice::guard {

namespace {

// Invalid addresses of the program's are for the kernel to refuse.
bool is_valid(const void* place, std::size_t size, bool writes) noexcept {
  return try_touch(reinterpret_cast<std::uintptr_t>(place), size, writes);
}

// The kernel's form of a set of the program's, or the program's place if that is null or invalid.
class KernelSet {
 public:
  explicit KernelSet(const sigset_t* set) noexcept
      : is_translated_(set != nullptr && is_valid(set, sizeof(KernelMask), false)), place_(set) {
    if (is_translated_) mask_ = kernel_set(*set);
  }
  [[nodiscard]] const sigset_t* place() const noexcept { return is_translated_ ? &mask_ : place_; }

 private:
  bool is_translated_;
  const sigset_t* place_;
  sigset_t mask_ = {};
};

}  // namespace

int change_mask(int how, const sigset_t* wanted, sigset_t* before) noexcept {
  const KernelSet passed(wanted);
  sigset_t old = {};
  const int error = SLUICE_NEXT(pthread_sigmask)(how, passed.place(), &old);
  if (error != 0 || before == nullptr) return error;
  if (!is_valid(before, sizeof(KernelMask), true)) return EFAULT;
  word_of(*before) = to_program(word_of(old));
  return 0;
}

namespace {

int give_errno(int error) noexcept {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

sigset_t only(KernelMask mask) noexcept {
  sigset_t set = {};
  word_of(set) = mask;
  return set;
}

// BSD's masks are the first 32 signals.
int bsd_mask(int how, KernelMask mask) noexcept {
  const sigset_t set = only(mask & 0xffffffffU);
  sigset_t before = {};
  (void)change_mask(how, &set, &before);
  return static_cast<int>(word_of(before));
}

int name_signal(int signal) noexcept { return signal == proxy ? SIGSEGV : signal; }

// Repeats a call that was ended only by another process's SIGSEGV, which is sent on as the proxy.
template <typename Call>
int wait_for_signal(siginfo_t* info, Call&& call) {
  while (true) {
    const unsigned before = requeued();
    siginfo_t mine = {};
    const int got = call(&mine);
    if (got < 0 && errno == EINTR && requeued() != before) continue;
    if (got > 0 && info != nullptr) {
      if (!is_valid(info, sizeof *info, true)) return give_errno(EFAULT);
      *info = mine;
      show_as_sent(*info);
    }
    return got < 0 ? got : name_signal(got);
  }
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

SLUICE_GUARD_EXPORT int pthread_sigmask(int how, const sigset_t* wanted,
                                        sigset_t* before) noexcept {
  return change_mask(how, wanted, before);
}
SLUICE_GUARD_EXPORT int sigprocmask(int how, const sigset_t* wanted, sigset_t* before) noexcept {
  return give_errno(change_mask(how, wanted, before));
}
SLUICE_GUARD_EXPORT int sighold(int signal) noexcept {
  if (signal < 1 || signal > signal_count) return give_errno(EINVAL);
  const sigset_t set = only(bit_of(signal));
  return give_errno(change_mask(SIG_BLOCK, &set, nullptr));
}
SLUICE_GUARD_EXPORT int sigrelse(int signal) noexcept {
  if (signal < 1 || signal > signal_count) return give_errno(EINVAL);
  const sigset_t set = only(bit_of(signal));
  return give_errno(change_mask(SIG_UNBLOCK, &set, nullptr));
}
SLUICE_GUARD_EXPORT int sigblock(int mask) noexcept {
  return bsd_mask(SIG_BLOCK, static_cast<unsigned>(mask));
}
SLUICE_GUARD_EXPORT int sigsetmask(int mask) noexcept {
  return bsd_mask(SIG_SETMASK, static_cast<unsigned>(mask));
}
SLUICE_GUARD_EXPORT int siggetmask() noexcept { return bsd_mask(SIG_BLOCK, 0); }

SLUICE_GUARD_EXPORT int sigpending(sigset_t* set) noexcept {
  sigset_t pending = {};
  const int result = SLUICE_NEXT(sigpending)(&pending);
  if (result != 0) return result;
  if (!is_valid(set, sizeof(KernelMask), true)) return give_errno(EFAULT);
  word_of(*set) = to_program(word_of(pending));
  return 0;
}
SLUICE_GUARD_EXPORT int sigsuspend(const sigset_t* set) {
  const KernelSet passed(set);
  return SLUICE_NEXT(sigsuspend)(passed.place());
}
SLUICE_GUARD_EXPORT int __xpg_sigpause(int signal) {
  if (signal < 1 || signal > signal_count) return give_errno(EINVAL);
  sigset_t set = {};
  (void)change_mask(SIG_BLOCK, nullptr, &set);
  word_of(set) &= ~bit_of(signal);
  const sigset_t passed = kernel_set(set);
  return SLUICE_NEXT(sigsuspend)(&passed);
}
SLUICE_GUARD_EXPORT int sigwait(const sigset_t* set, int* signal) {
  const KernelSet passed(set);
  int got = 0;
  const int error = SLUICE_NEXT(sigwait)(passed.place(), &got);
  if (error == 0) *signal = name_signal(got);
  return error;
}
SLUICE_GUARD_EXPORT int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  const KernelSet passed(set);
  return wait_for_signal(
      info, [&](siginfo_t* mine) { return SLUICE_NEXT(sigwaitinfo)(passed.place(), mine); });
}
SLUICE_GUARD_EXPORT int sigtimedwait(const sigset_t* set, siginfo_t* info,
                                     const struct timespec* timeout) {
  const KernelSet passed(set);
  struct timespec limit = {};
  if (timeout != nullptr && is_valid(timeout, sizeof limit, false)) {
    limit = *timeout;
    timeout = &limit;
  }
  return wait_for_signal(info, [&](siginfo_t* mine) {
    return SLUICE_NEXT(sigtimedwait)(passed.place(), mine, timeout);
  });
}
SLUICE_GUARD_EXPORT int signalfd(int file, const sigset_t* set, int flags) noexcept {
  const KernelSet passed(set);
  return SLUICE_NEXT(signalfd)(file, passed.place(), flags);
}

// Functions that also have buffers for the kernel: buffers.hpp.
#define WAIT_CALL(name, parameters, arguments, ...)                                     \
  SLUICE_GUARD_EXPORT int name parameters {                                             \
    const Buffer buffers[] = {__VA_ARGS__};                                             \
    const KernelSet passed(set);                                                        \
    set = passed.place();                                                               \
    return with_buffers(buffers, [&]() -> int { return SLUICE_NEXT(name) arguments; }); \
  }
WAIT_CALL(ppoll,
          (pollfd * files, nfds_t count, const struct timespec* timeout, const sigset_t* set),
          (files, count, timeout, set), polled(files, count), in(timeout))
WAIT_CALL(__ppoll_chk,
          (pollfd * files, nfds_t count, const struct timespec* timeout, const sigset_t* set,
           size_t room),
          (files, count, timeout, set, room), polled(files, count), in(timeout))
WAIT_CALL(pselect,
          (int count, fd_set* reads, fd_set* writes, fd_set* exceptions,
           const struct timespec* timeout, const sigset_t* set),
          (count, reads, writes, exceptions, timeout, set),
          taken(reads, bytes_of_set(count), whole_buffer),
          taken(writes, bytes_of_set(count), whole_buffer),
          taken(exceptions, bytes_of_set(count), whole_buffer), in(timeout))
WAIT_CALL(epoll_pwait,
          (int file, struct epoll_event* to, int count, int timeout, const sigset_t* set),
          (file, to, count, timeout, set),
          taken(to, bytes_of(count, sizeof *to), {.unit = sizeof *to}))
#if __GLIBC_PREREQ(2, 35)
WAIT_CALL(epoll_pwait2,
          (int file, struct epoll_event* to, int count, const struct timespec* timeout,
           const sigset_t* set),
          (file, to, count, timeout, set),
          taken(to, bytes_of(count, sizeof *to), {.unit = sizeof *to}), in(timeout))
#endif
SLUICE_GUARD_EXPORT int pthread_attr_setsigmask_np(pthread_attr_t* attributes,
                                                   const sigset_t* set) {
  const sigset_t passed = set != nullptr ? kernel_set(*set) : sigset_t{};
  return SLUICE_NEXT(pthread_attr_setsigmask_np)(attributes, set != nullptr ? &passed : nullptr);
}
SLUICE_GUARD_EXPORT int pthread_attr_getsigmask_np(const pthread_attr_t* attributes,
                                                   sigset_t* set) {
  const int result = SLUICE_NEXT(pthread_attr_getsigmask_np)(attributes, set);
  if (result == 0) word_of(*set) = to_program(word_of(*set));
  return result;
}
