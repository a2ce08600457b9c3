// Small arguments of libc's calls that the kernel reads or writes where programs may keep them in
// managed memory: limits, timers, times, sets of processors, identities, locks of files, operations
// on queues and semaphores; and memory that is to be locked.
//
// What it does not do: the clocks of CPU time and clock_gettime(), which would cost every reader of
// the time; ioctl() and prctl(), since only the driver knows the size of their arguments; calls for
// administrators (mounts, modules, quotas, capabilities).
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "face/guard/buffers.hpp"

namespace sluice::guard {
namespace {

// For functions that return an error instead of setting errno.
template <std::size_t Count, typename Call>
int with_buffers_by_code(const Buffer (&buffers)[Count], Call&& call) {
  const int before = errno;
  const int result = with_buffers(buffers, [&call] {
    errno = call();
    return errno == 0 ? 0 : -1;
  });
  const int error = result == 0 ? 0 : errno;
  errno = before;
  return error;
}

// Linux faults the pages in itself and returns ENOMEM, or EAGAIN, where it cannot.
template <typename Lock>
int lock_memory(const void* begin, std::size_t size, Lock&& lock) noexcept {
  int result = lock();
  for (int attempt = 0; result != 0 && attempt < most_attempts(); ++attempt) {
    if (errno != ENOMEM && errno != EAGAIN && errno != EFAULT) break;
    if (!is_managed(begin, size) || !touch_managed(begin, size, false)) break;
    result = lock();
  }
  return result;
}

// The structure that a request of fcntl() points to; 0: it points to none.
std::size_t size_of_request(int command) noexcept {
  switch (command) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return sizeof(struct flock);
    case F_GETOWN_EX:
    case F_SETOWN_EX:
      return sizeof(f_owner_ex);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT:
      return sizeof(std::uint64_t);
    default:
      return 0;
  }
}

// F_GETLK stores its answer over its question: half an answer must not be asked again.
Buffer structure_of(int command, void*& at) noexcept {
  const std::size_t size = size_of_request(command);
  const bool asks = command == F_GETLK || command == F_OFD_GETLK;
  return asks ? taken(at, size, whole_buffer) : out(at, size);
}

std::size_t operations(std::size_t count) noexcept { return count * sizeof(sembuf); }

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

#define CALL SLUICE_GUARD_CALL
#define CODE_CALL(name, parameters, arguments, ...)                                             \
  SLUICE_GUARD_EXPORT int name parameters {                                                     \
    const Buffer buffers[] = {__VA_ARGS__};                                                     \
    return with_buffers_by_code(buffers, [&]() -> int { return SLUICE_NEXT(name) arguments; }); \
  }

// clang-format off
// --- limits and usage ----------------------------------------------------------------------------
CALL(int, getrlimit, (__rlimit_resource_t which, struct rlimit* to) noexcept, (which, to), out(to))
CALL(int, getrlimit64, (__rlimit_resource_t which, struct rlimit64* to) noexcept, (which, to), out(to))
CALL(int, setrlimit, (__rlimit_resource_t which, const struct rlimit* from) noexcept, (which, from), in(from))
CALL(int, setrlimit64, (__rlimit_resource_t which, const struct rlimit64* from) noexcept, (which, from), in(from))
CALL(int, prlimit, (pid_t process, enum __rlimit_resource which, const struct rlimit* from, struct rlimit* to) noexcept, (process, which, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, prlimit64, (pid_t process, enum __rlimit_resource which, const struct rlimit64* from, struct rlimit64* to) noexcept, (process, which, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, getrusage, (__rusage_who_t who, struct rusage* to) noexcept, (who, to), out(to))
CALL(int, sysinfo, (struct sysinfo* to) noexcept, (to), out(to))

// --- times and timers ----------------------------------------------------------------------------
CALL(int, getitimer, (__itimer_which_t which, struct itimerval* to) noexcept, (which, to), out(to))
CALL(int, setitimer, (__itimer_which_t which, const struct itimerval* from, struct itimerval* to) noexcept, (which, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, timer_gettime, (timer_t timer, struct itimerspec* to) noexcept, (timer, to), out(to))
CALL(int, timer_settime, (timer_t timer, int flags, const struct itimerspec* from, struct itimerspec* to) noexcept, (timer, flags, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, timerfd_gettime, (int file, struct itimerspec* to) noexcept, (file, to), out(to))
CALL(int, timerfd_settime, (int file, int flags, const struct itimerspec* from, struct itimerspec* to) noexcept, (file, flags, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, nanosleep, (const struct timespec* from, struct timespec* to), (from, to), in(from), taken(to, sizeof *to, whole_always))
CODE_CALL(clock_nanosleep, (clockid_t clock, int flags, const struct timespec* from, struct timespec* to), (clock, flags, from, to), in(from), taken(to, sizeof *to, whole_always))
CALL(int, utimensat, (int folder, const char* path, const struct timespec* from, int flags) noexcept, (folder, path, from, flags), in(from, 2 * sizeof *from))
CALL(int, futimens, (int file, const struct timespec* from) noexcept, (file, from), in(from, 2 * sizeof *from))

// --- processors and identities -------------------------------------------------------------------
CALL(int, sched_getaffinity, (pid_t process, size_t size, cpu_set_t* to) noexcept, (process, size, to), out(to, size))
CALL(int, sched_setaffinity, (pid_t process, size_t size, const cpu_set_t* from) noexcept, (process, size, from), in(from, size))
CODE_CALL(pthread_getaffinity_np, (pthread_t thread, size_t size, cpu_set_t* to) noexcept, (thread, size, to), out(to, size))
CODE_CALL(pthread_setaffinity_np, (pthread_t thread, size_t size, const cpu_set_t* from) noexcept, (thread, size, from), in(from, size))
CALL(int, sched_getparam, (pid_t process, struct sched_param* to) noexcept, (process, to), out(to))
CALL(int, sched_setparam, (pid_t process, const struct sched_param* from) noexcept, (process, from), in(from))
CALL(int, sched_setscheduler, (pid_t process, int policy, const struct sched_param* from) noexcept, (process, policy, from), in(from))
CALL(int, sched_rr_get_interval, (pid_t process, struct timespec* to) noexcept, (process, to), out(to))
CALL(int, getresuid, (uid_t* one, uid_t* two, uid_t* three) noexcept, (one, two, three), out(one), out(two), out(three))
CALL(int, getresgid, (gid_t* one, gid_t* two, gid_t* three) noexcept, (one, two, three), out(one), out(two), out(three))

// --- queues and semaphores -----------------------------------------------------------------------
CALL(int, mq_setattr, (mqd_t queue, const struct mq_attr* from, struct mq_attr* to) noexcept, (queue, from, to), in(from), taken(to, sizeof *to, whole_buffer))
CALL(int, mq_getattr, (mqd_t queue, struct mq_attr* to) noexcept, (queue, to), out(to))
CALL(int, mq_notify, (mqd_t queue, const struct sigevent* from) noexcept, (queue, from), in(from))
CALL(int, msgctl, (int queue, int command, struct msqid_ds* both) noexcept, (queue, command, both), out(both))
CALL(int, shmctl, (int memory, int command, struct shmid_ds* both) noexcept, (memory, command, both), out(both))
CALL(int, semop, (int semaphores, struct sembuf* from, size_t count) noexcept, (semaphores, from, count), in(from, operations(count)))
CALL(int, semtimedop, (int semaphores, struct sembuf* from, size_t count, const struct timespec* timeout) noexcept, (semaphores, from, count, timeout), in(from, operations(count)), in(timeout))
// clang-format on

// --- locks of files ------------------------------------------------------------------------------
#define FILE_CONTROL(name)                                                                    \
  SLUICE_GUARD_EXPORT int name(int file, int command, ...) {                                  \
    va_list rest;                                                                             \
    va_start(rest, command);                                                                  \
    void* argument = va_arg(rest, void*);                                                     \
    va_end(rest);                                                                             \
    const Buffer buffers[] = {structure_of(command, argument)};                               \
    return with_buffers(buffers, [&] { return SLUICE_NEXT(name)(file, command, argument); }); \
  }
FILE_CONTROL(fcntl)
FILE_CONTROL(fcntl64)

// --- memory that stays ---------------------------------------------------------------------------
SLUICE_GUARD_EXPORT int mlock(const void* begin, size_t size) noexcept {
  return lock_memory(begin, size, [&] { return SLUICE_NEXT(mlock)(begin, size); });
}
SLUICE_GUARD_EXPORT int mlock2(const void* begin, size_t size, unsigned flags) noexcept {
  return lock_memory(begin, size, [&] { return SLUICE_NEXT(mlock2)(begin, size, flags); });
}
