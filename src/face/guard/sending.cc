// Sending SIGSEGV to oneself, and what leaves the process: other programs, timers' threads.
//
// A SIGSEGV that the process sends to itself goes as the proxy at once, so Linux keeps it pending, coalesces it and picks a thread
// as it does natively. What another process sends is sent on when it arrives (front_in_handler.cc).
//
// A new program inherits the mask and what is ignored. It may not have the guard, so for the moment of exec both have the native
// form. A timer's thread is started by libc with everything blocked in the kernel's own form; its function is called through one
// of ours that corrects that.
// What it does not do: exec by raw system calls. Other threads that libc starts to tell
// of something (mq_notify, aio, getaddrinfo_a) begin with nothing blocked, so there is nothing to correct.
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
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

// Native mask and native ignoring while it lives.
class NativeForms {
 public:
  NativeForms() noexcept : mask_(swap_mask(~KernelMask{0})) {
    const bool blocked = (mask_ & bit_of(proxy)) != 0;
    (void)swap_mask((mask_ & ~bit_of(proxy)) | (blocked ? bit_of(SIGSEGV) : 0));
  }
  ~NativeForms() { (void)swap_mask(mask_); }
  NativeForms(const NativeForms&) = delete;
  NativeForms& operator=(const NativeForms&) = delete;

 private:
  KernelMask mask_;
};

// exec makes handlers default, but leaves what is ignored so.
template <typename Exec>
int execute(Exec&& exec) noexcept {
  const NativeForms forms;
  const bool ignored = action_of(SIGSEGV).handler == reinterpret_cast<std::uintptr_t>(SIG_IGN);
  Action front;
  const Action ignoring{reinterpret_cast<std::uintptr_t>(SIG_IGN), 0, 0, 0};
  if (ignored) (void)raw_sigaction(SIGSEGV, &ignoring, &front);
  const int result = exec();
  if (ignored) (void)raw_sigaction(SIGSEGV, &front, nullptr);
  return result;
}

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

using namespace sluice::
    guard;  // NOLINT(google-build-using-namespace): what follows are C functions

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

// The list as an array; E2BIG when it is longer than anybody's.
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
  return execute([&] {
    return SLUICE_NEXT(posix_spawn)(process, path, actions, attributes, arguments, environment);
  });
}
SLUICE_GUARD_EXPORT int posix_spawnp(pid_t* process, const char* file,
                                     const posix_spawn_file_actions_t* actions,
                                     const posix_spawnattr_t* attributes, char* const arguments[],
                                     char* const environment[]) {
  return execute([&] {
    return SLUICE_NEXT(posix_spawnp)(process, file, actions, attributes, arguments, environment);
  });
}
SLUICE_GUARD_EXPORT int system(const char* command) {
  return execute([&] { return SLUICE_NEXT(system)(command); });
}

// A notification lives as long as the process: a timer's last call may come after its deletion.
SLUICE_GUARD_EXPORT int timer_create(clockid_t clock, struct sigevent* event,
                                     timer_t* timer) noexcept {
  if (event == nullptr || event->sigev_notify != SIGEV_THREAD)
    return SLUICE_NEXT(timer_create)(clock, event, timer);
  auto* const notification = static_cast<Notification*>(::malloc(sizeof(Notification)));
  if (notification == nullptr) {
    errno = EAGAIN;
    return -1;
  }
  *notification = {event->sigev_notify_function, event->sigev_value};
  struct sigevent told = *event;
  told.sigev_notify_function = notify;
  told.sigev_value.sival_ptr = notification;
  const int result = SLUICE_NEXT(timer_create)(clock, &told, timer);
  if (result != 0) ::free(notification);
  return result;
}
