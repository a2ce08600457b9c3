// Sends SIGSEGV to the process itself, and starts new programs and timers' threads with the right
// masks.
//
// A SIGSEGV that the process sends to itself goes as the proxy at once, so Linux keeps it pending,
// coalesces it and picks a thread as it does natively. A SIGSEGV from another process is sent on
// when it arrives (front_in_handler.cc).
//
// A new program inherits the mask and the ignored signals. With the guard it learns both from the
// proxy, which is blocked and ignored in SIGSEGV's place (libc.cc). It may not have the guard, so
// the mask has its native form during exec, and so has the ignored state if there is no other
// thread. While SIGSEGV is really ignored, another thread's access to managed memory kills the
// process; and Linux resets the action if a thread that exec ends waits for the lock of the address
// space in a page fault (6.18: that fault becomes a forced SIGSEGV, and an ignored one gets the
// default action). libc starts a timer's thread with everything blocked in the kernel's own form;
// its function is called through one of ours that corrects that. Cost: a look at /proc for each new
// program, if SIGSEGV is ignored. What it does not do: exec by raw system calls; the native forms
// for a shell of system() and popen(), which libc starts past us. Other threads that libc starts
// for notifications (mq_notify, aio, getaddrinfo_a) begin with nothing blocked, so there is nothing
// to correct.
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

int own_form(int signal) noexcept { return signal == SIGSEGV ? proxy : signal; }
int form_for(pid_t process, int signal) noexcept {
  return signal == SIGSEGV && process == ::getpid() ? proxy : signal;
}

bool is_ignored() noexcept {
  return action_of(SIGSEGV).handler == reinterpret_cast<std::uintptr_t>(SIG_IGN);
}

// Linux counts threads as links of that folder, besides its own two. False if that is unavailable.
bool is_alone() noexcept {
  struct stat threads = {};
  return os::in_handler::raw_call(SYS_stat, reinterpret_cast<long>("/proc/self/task"),
                                  reinterpret_cast<long>(&threads)) == 0 &&
         threads.st_nlink == 3;
}

// The native mask, and native ignoring where that can be, while it lives.
class NativeForms {
 public:
  NativeForms() noexcept : mask_(swap_mask(~KernelMask{0})), ignores_(is_ignored() && is_alone()) {
    const Action ignoring{reinterpret_cast<std::uintptr_t>(SIG_IGN), 0, 0, 0};
    if (ignores_) (void)raw_sigaction(SIGSEGV, &ignoring, &front_);
    const bool blocked = (mask_ & bit_of(proxy)) != 0;
    (void)swap_mask((mask_ & ~bit_of(proxy)) | (blocked ? bit_of(SIGSEGV) : 0));
  }
  ~NativeForms() {
    if (ignores_) (void)raw_sigaction(SIGSEGV, &front_, nullptr);
    (void)swap_mask(mask_);
  }
  NativeForms(const NativeForms&) = delete;
  NativeForms& operator=(const NativeForms&) = delete;

 private:
  KernelMask mask_;
  bool ignores_;
  Action front_;
};

template <typename Exec>
int execute(Exec&& exec) noexcept {
  const NativeForms forms;
  return exec();
}

// Attributes by which a new program that is to have SIGSEGV's default action has the proxy's as
// well.
class SpawnAttributes {
 public:
  explicit SpawnAttributes(const posix_spawnattr_t* given) noexcept : passed_(given) {
    sigset_t defaults = {};
    if (given == nullptr || ::posix_spawnattr_getsigdefault(given, &defaults) != 0 ||
        (word_of(defaults) & bit_of(SIGSEGV)) == 0)
      return;
    changed_ = *given;
    word_of(defaults) |= bit_of(proxy);
    if (::posix_spawnattr_setsigdefault(&changed_, &defaults) == 0) passed_ = &changed_;
  }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  [[nodiscard]] const posix_spawnattr_t* get() const noexcept { return passed_; }

 private:
  const posix_spawnattr_t* passed_;
  posix_spawnattr_t changed_ = {};
};

constexpr int argument_limit = 1024;

struct Notification {
  void (*function)(sigval);
  sigval value;
};

void notify(sigval value) {
  const KernelMask mask = swap_mask(~KernelMask{0});
  const bool blocked = (mask & bit_of(SIGSEGV)) != 0;
  (void)swap_mask((mask & ~(bit_of(SIGSEGV) | bit_of(proxy))) | (blocked ? bit_of(proxy) : 0));
  const auto& notification = *static_cast<const Notification*>(value.sival_ptr);
  notification.function(notification.value);
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

SLUICE_GUARD_EXPORT int raise(int signal) noexcept { return SLUICE_NEXT(raise)(own_form(signal)); }
SLUICE_GUARD_EXPORT int gsignal(int signal) noexcept {
  return SLUICE_NEXT(raise)(own_form(signal));
}
SLUICE_GUARD_EXPORT int kill(pid_t process, int signal) noexcept {
  return SLUICE_NEXT(kill)(process, form_for(process, signal));
}
SLUICE_GUARD_EXPORT int sigqueue(pid_t process, int signal, const sigval value) noexcept {
  return SLUICE_NEXT(sigqueue)(process, form_for(process, signal), value);
}
SLUICE_GUARD_EXPORT int tgkill(pid_t process, pid_t thread, int signal) {
  return SLUICE_NEXT(tgkill)(process, thread, form_for(process, signal));
}
SLUICE_GUARD_EXPORT int pthread_kill(pthread_t thread, int signal) noexcept {
  return SLUICE_NEXT(pthread_kill)(thread, own_form(signal));
}
SLUICE_GUARD_EXPORT int pthread_sigqueue(pthread_t thread, int signal,
                                         const sigval value) noexcept {
  return SLUICE_NEXT(pthread_sigqueue)(thread, own_form(signal), value);
}

SLUICE_GUARD_EXPORT int execve(const char* path, char* const arguments[],
                               char* const environment[]) noexcept {
  return execute([&] { return SLUICE_NEXT(execve)(path, arguments, environment); });
}
SLUICE_GUARD_EXPORT int execv(const char* path, char* const arguments[]) noexcept {
  return execute([&] { return SLUICE_NEXT(execv)(path, arguments); });
}
SLUICE_GUARD_EXPORT int execvp(const char* file, char* const arguments[]) noexcept {
  return execute([&] { return SLUICE_NEXT(execvp)(file, arguments); });
}
SLUICE_GUARD_EXPORT int execvpe(const char* file, char* const arguments[],
                                char* const environment[]) noexcept {
  return execute([&] { return SLUICE_NEXT(execvpe)(file, arguments, environment); });
}
SLUICE_GUARD_EXPORT int fexecve(int file, char* const arguments[],
                                char* const environment[]) noexcept {
  return execute([&] { return SLUICE_NEXT(fexecve)(file, arguments, environment); });
}

// The list as an array; E2BIG if it is longer than any valid one.
#define SLUICE_GUARD_LIST(first)                               \
  const char* list[argument_limit] = {first};                  \
  va_list rest;                                                \
  va_start(rest, first);                                       \
  int count = 1;                                               \
  while (count < argument_limit && list[count - 1] != nullptr) \
    list[count++] = va_arg(rest, const char*);                 \
  char** environment = environ;                                \
  (void)environment;                                           \
  if (list[count - 1] != nullptr) {                            \
    va_end(rest);                                              \
    errno = E2BIG;                                             \
    return -1;                                                 \
  }

SLUICE_GUARD_EXPORT int execl(const char* path, const char* first, ...) noexcept {
  SLUICE_GUARD_LIST(first)
  va_end(rest);
  return execute([&] { return SLUICE_NEXT(execv)(path, const_cast<char**>(list)); });
}
SLUICE_GUARD_EXPORT int execlp(const char* file, const char* first, ...) noexcept {
  SLUICE_GUARD_LIST(first)
  va_end(rest);
  return execute([&] { return SLUICE_NEXT(execvp)(file, const_cast<char**>(list)); });
}
SLUICE_GUARD_EXPORT int execle(const char* path, const char* first, ...) noexcept {
  SLUICE_GUARD_LIST(first)
  environment = va_arg(rest, char**);
  va_end(rest);
  return execute([&] { return SLUICE_NEXT(execve)(path, const_cast<char**>(list), environment); });
}

SLUICE_GUARD_EXPORT int posix_spawn(pid_t* process, const char* path,
                                    const posix_spawn_file_actions_t* actions,
                                    const posix_spawnattr_t* attributes, char* const arguments[],
                                    char* const environment[]) {
  const SpawnAttributes passed(attributes);
  return execute([&] {
    return SLUICE_NEXT(posix_spawn)(process, path, actions, passed.get(), arguments, environment);
  });
}
SLUICE_GUARD_EXPORT int posix_spawnp(pid_t* process, const char* file,
                                     const posix_spawn_file_actions_t* actions,
                                     const posix_spawnattr_t* attributes, char* const arguments[],
                                     char* const environment[]) {
  const SpawnAttributes passed(attributes);
  return execute([&] {
    return SLUICE_NEXT(posix_spawnp)(process, file, actions, passed.get(), arguments, environment);
  });
}

// A notification lives as long as the process: a timer's last call may come after its deletion.
SLUICE_GUARD_EXPORT int timer_create(clockid_t clock, struct sigevent* event,
                                     timer_t* timer) noexcept {
  struct sigevent passed = {};
  if (event != nullptr) passed = *event;  // the kernel gets ours: the program's may be managed
  if (event == nullptr || event->sigev_notify != SIGEV_THREAD)
    return SLUICE_NEXT(timer_create)(clock, event != nullptr ? &passed : nullptr, timer);
  auto* const notification = static_cast<Notification*>(::malloc(sizeof(Notification)));
  if (notification == nullptr) {
    errno = EAGAIN;
    return -1;
  }
  *notification = {event->sigev_notify_function, event->sigev_value};
  passed.sigev_notify_function = notify;
  passed.sigev_value.sival_ptr = notification;
  const int result = SLUICE_NEXT(timer_create)(clock, &passed, timer);
  if (result != 0) ::free(notification);
  return result;
}
