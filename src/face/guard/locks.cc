// Locks of libc that lie in managed memory: mutexes, condition variables, semaphores, read-write
// locks and barriers.
//
// libc sleeps by futex(2) on a word of the lock. In the grades user and signal the kernel cannot
// read that word while its page is elsewhere; it gives EFAULT, and libc ends the process. So a
// thread that finds such a lock taken sleeps on a word of ours in its place, chosen by the lock's
// address, and tries again when the lock is released. The lock itself stays libc's: its fast
// paths run in the program, where an access fault is answered as always.
//
// A lock that is shared between processes is woken within 50 ms by the other one. Wakes of
// semaphores and condition variables reach threads of this process only. Of a condition variable
// all waiters wake at a signal, as POSIX allows. Costs: outside of windows a load and a jump; in
// them, a try, and a system call for each sleep and each wake. What it does not do: pthread_once
// and call_once with two threads at the same time, priority inheritance, and locks of other
// libraries that call futex(2) by an instruction of their own (libgomp, Go, Rust's standard
// library): EFAULT there.
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

using os::in_handler::raw_call;

// The word on which threads sleep if their lock hashes here.
struct Sleepers {
  std::atomic<std::uint32_t> wakes{0};
  std::atomic<std::uint32_t> threads{0};
};
constinit Sleepers sleepers[256] = {};

Sleepers& sleepers_of(const void* lock) noexcept {
  const auto place = reinterpret_cast<std::uintptr_t>(lock);
  return sleepers[(place >> 3 ^ place >> 12) % 256];
}

void wake(const void* lock) noexcept {
  Sleepers& here = sleepers_of(lock);
  here.wakes.fetch_add(1);
  if (here.threads.load() != 0)
    raw_call(SYS_futex, reinterpret_cast<long>(&here.wakes), FUTEX_WAKE_PRIVATE, 0x7fffffff);
}

// A deadline and its clock; no limit where there is no time.
struct Deadline {
  clockid_t clock = CLOCK_REALTIME;
  bool is_limited = false;
  struct timespec time = {};

  Deadline() noexcept = default;
  Deadline(clockid_t its_clock, const struct timespec* its_time) noexcept
      : clock(its_clock), is_limited(its_time != nullptr) {
    if (is_limited) time = *its_time;  // the program's access: it may be managed
  }
  [[nodiscard]] bool is_right() const noexcept {
    return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) &&
           (!is_limited || (time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000));
  }
};

// 0, or an errno: ETIMEDOUT, EINTR, EAGAIN.
int sleep_until(Sleepers& here, std::uint32_t seen, const Deadline& deadline) noexcept {
  if (deadline.is_limited && deadline.time.tv_sec < 0) return ETIMEDOUT;
  const int operation = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG |
                        (deadline.clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
  return static_cast<int>(
      -raw_call(SYS_futex, reinterpret_cast<long>(&here.wakes), operation, seen,
                deadline.is_limited ? reinterpret_cast<long>(&deadline.time) : 0, 0, -1));
}

// Sleeps 50 ms at most: another process may release the lock without waking us.
int sleep_a_while(Sleepers& here, std::uint32_t seen, const Deadline& deadline) noexcept {
  Deadline slice(deadline.clock, &deadline.time);
  ::clock_gettime(deadline.clock, &slice.time);
  slice.time.tv_nsec += 50'000'000;
  if (slice.time.tv_nsec >= 1'000'000'000) {
    ++slice.time.tv_sec;
    slice.time.tv_nsec -= 1'000'000'000;
  }
  const bool ends_sooner =
      deadline.is_limited &&
      (deadline.time.tv_sec < slice.time.tv_sec ||
       (deadline.time.tv_sec == slice.time.tv_sec && deadline.time.tv_nsec < slice.time.tv_nsec));
  if (ends_sooner) return sleep_until(here, seen, deadline);
  (void)sleep_until(here, seen, slice);
  return 0;
}

// Tries until it is no longer EBUSY, or the time is over.
template <typename Try>
int take(const void* lock, const Deadline& deadline, Try&& attempt) noexcept {
  int error = attempt();
  if (error != EBUSY) return error;
  if (!deadline.is_right()) return EINVAL;
  Sleepers& here = sleepers_of(lock);
  here.threads.fetch_add(1);
  while (true) {
    const std::uint32_t seen = here.wakes.load();
    error = attempt();
    if (error != EBUSY) break;
    if (sleep_a_while(here, seen, deadline) == ETIMEDOUT) {
      error = ETIMEDOUT;
      break;
    }
  }
  here.threads.fetch_sub(1);
  return error;
}

std::int32_t this_thread() noexcept { return static_cast<std::int32_t>(raw_call(SYS_gettid)); }

int take_mutex(pthread_mutex_t* mutex, const Deadline& deadline) noexcept {
  return take(mutex, deadline, [mutex]() noexcept {
    const int error = SLUICE_NEXT(pthread_mutex_trylock)(mutex);
    const bool checks = (mutex->__data.__kind & 3) == PTHREAD_MUTEX_ERRORCHECK;
    return error == EBUSY && checks && mutex->__data.__owner == this_thread() ? EDEADLK : error;
  });
}
int take_rwlock(pthread_rwlock_t* lock, const Deadline& deadline, bool reads) noexcept {
  return take(lock, deadline, [lock, reads]() noexcept {
    const int error = reads ? SLUICE_NEXT(pthread_rwlock_tryrdlock)(lock)
                            : SLUICE_NEXT(pthread_rwlock_trywrlock)(lock);
    return error == EBUSY && lock->__data.__cur_writer == this_thread() ? EDEADLK : error;
  });
}

// A sleep in which the thread may be cancelled.
int sleep_cancellably(Sleepers& here, std::uint32_t seen, const Deadline& deadline) noexcept {
  int before = PTHREAD_CANCEL_DEFERRED;
  ::pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
  const int error = sleep_until(here, seen, deadline);
  ::pthread_setcanceltype(before, nullptr);
  return error;
}

struct LockSleep {
  Sleepers* here;
  pthread_mutex_t* mutex;  // to take again; may be null
  int error;
};
void wake_up(void* argument) noexcept {
  auto& sleeping = *static_cast<LockSleep*>(argument);
  sleeping.here->threads.fetch_sub(1);
  if (sleeping.mutex != nullptr) sleeping.error = ::pthread_mutex_lock(sleeping.mutex);
}

int wait_for_condition(pthread_cond_t* condition, pthread_mutex_t* mutex,
                       const Deadline& deadline) noexcept {
  if (!deadline.is_right()) return EINVAL;
  Sleepers& here = sleepers_of(condition);
  here.threads.fetch_add(1);
  const std::uint32_t seen = here.wakes.load();
  if (const int error = ::pthread_mutex_unlock(mutex); error != 0) {
    here.threads.fetch_sub(1);
    return error;
  }
  LockSleep sleeping = {&here, mutex, 0};
  volatile int ended = 0;
  pthread_cleanup_push(wake_up, &sleeping);
  while (here.wakes.load() == seen && ended != ETIMEDOUT)
    ended = sleep_cancellably(here, seen, deadline);
  pthread_cleanup_pop(1);
  if (sleeping.error != 0) return sleeping.error;
  return ended == ETIMEDOUT ? ETIMEDOUT : 0;
}

clockid_t clock_of(const pthread_cond_t* condition) noexcept {
  return (condition->__data.__wrefs & 2U) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

int fail_with(int error) noexcept {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

int wait_for_semaphore(sem_t* semaphore, const Deadline& deadline) noexcept {
  if (SLUICE_NEXT(sem_trywait)(semaphore) == 0) return 0;
  if (errno != EAGAIN) return -1;
  if (!deadline.is_right()) return fail_with(EINVAL);
  Sleepers& here = sleepers_of(semaphore);
  here.threads.fetch_add(1);
  LockSleep sleeping = {&here, nullptr, 0};
  volatile int ended = 0;
  pthread_cleanup_push(wake_up, &sleeping);
  while (ended != ETIMEDOUT && ended != EINTR) {
    const std::uint32_t seen = here.wakes.load();
    if (SLUICE_NEXT(sem_trywait)(semaphore) == 0) {
      ended = 0;
      break;
    }
    ended = sleep_cancellably(here, seen, deadline);
  }
  pthread_cleanup_pop(1);
  return fail_with(ended);
}

// libc's barrier: the number of arrivals, the round that may leave, the number of threads in a
// round, and the number that left.
struct Barrier {
  std::atomic<std::uint32_t> came;
  std::atomic<std::uint32_t> round;
  std::uint32_t count;
  int is_shared;
  std::atomic<std::uint32_t> left;
};
static_assert(sizeof(Barrier) <= sizeof(pthread_barrier_t));

int wait_at_barrier(Barrier& barrier) noexcept {
  const std::uint32_t mine = barrier.came.fetch_add(1) + 1;
  const std::uint32_t last = (mine - 1) / barrier.count * barrier.count + barrier.count;
  if (mine == last) {
    barrier.round.store(last);
    wake(&barrier);
  } else {
    (void)take(&barrier, Deadline(), [&]() noexcept {
      return static_cast<std::int32_t>(barrier.round.load() - last) < 0 ? EBUSY : 0;
    });
  }
  barrier.left.fetch_add(1);
  return mine == last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

template <typename Lock>
bool may_be_slept_on(const Lock* lock) noexcept {
  return is_managed(lock, sizeof(Lock));
}
// The mutex decides too, and is not known here.
bool may_be_slept_on(const pthread_cond_t*) noexcept { return has_windows(); }
bool may_be_slept_on(const cnd_t*) noexcept { return has_windows(); }

// The result as C's functions return it.
int result_of(int error) noexcept {
  switch (error) {
    case 0:
      return thrd_success;
    case EBUSY:
      return thrd_busy;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    default:
      return thrd_error;
  }
}

template <typename Lock>
bool is_ours(const Lock* lock) noexcept {
  return is_managed(lock, sizeof(Lock));
}
// True if it, or its mutex, lies in managed memory: libc would sleep on that mutex.
template <typename Condition, typename Mutex>
bool is_ours(const Condition* condition, const Mutex* mutex) noexcept {
  return is_ours(condition) || is_ours(mutex);
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

// The function `name` of libc, or `ours` for locks in managed memory.
#define LOCK_CALL(name, parameters, arguments, locks, ours) \
  SLUICE_GUARD_EXPORT int name parameters {                 \
    if (!is_ours locks) return SLUICE_NEXT(name) arguments; \
    return ours;                                            \
  }

// The same for calls that release a lock or signal: libc's own, and then our sleepers are woken.
#define WAKE_CALL(name, parameters, lock)       \
  SLUICE_GUARD_EXPORT int name parameters {     \
    const bool ours = may_be_slept_on(lock);    \
    const int result = SLUICE_NEXT(name)(lock); \
    if (ours && result == 0) wake(lock);        \
    return result;                              \
  }

// clang-format off
// --- mutexes -------------------------------------------------------------------------------------
LOCK_CALL(pthread_mutex_lock, (pthread_mutex_t* mutex) noexcept, (mutex), (mutex), take_mutex(mutex, Deadline()))
LOCK_CALL(pthread_mutex_timedlock, (pthread_mutex_t* mutex, const struct timespec* until) noexcept, (mutex, until), (mutex), take_mutex(mutex, Deadline(CLOCK_REALTIME, until)))
LOCK_CALL(pthread_mutex_clocklock, (pthread_mutex_t* mutex, clockid_t clock, const struct timespec* until) noexcept, (mutex, clock, until), (mutex), take_mutex(mutex, Deadline(clock, until)))
WAKE_CALL(pthread_mutex_unlock, (pthread_mutex_t* mutex) noexcept, mutex)
LOCK_CALL(mtx_lock, (mtx_t* mutex), (mutex), (mutex), result_of(take_mutex(reinterpret_cast<pthread_mutex_t*>(mutex), Deadline())))
LOCK_CALL(mtx_timedlock, (mtx_t* mutex, const struct timespec* until), (mutex, until), (mutex), result_of(take_mutex(reinterpret_cast<pthread_mutex_t*>(mutex), Deadline(CLOCK_REALTIME, until))))
WAKE_CALL(mtx_unlock, (mtx_t* mutex), mutex)

// --- condition variables -------------------------------------------------------------------------
LOCK_CALL(pthread_cond_wait, (pthread_cond_t* condition, pthread_mutex_t* mutex), (condition, mutex), (condition, mutex), wait_for_condition(condition, mutex, Deadline()))
LOCK_CALL(pthread_cond_timedwait, (pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* until), (condition, mutex, until), (condition, mutex), wait_for_condition(condition, mutex, Deadline(clock_of(condition), until)))
LOCK_CALL(pthread_cond_clockwait, (pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const struct timespec* until), (condition, mutex, clock, until), (condition, mutex), wait_for_condition(condition, mutex, Deadline(clock, until)))
WAKE_CALL(pthread_cond_signal, (pthread_cond_t* condition) noexcept, condition)
WAKE_CALL(pthread_cond_broadcast, (pthread_cond_t* condition) noexcept, condition)
LOCK_CALL(cnd_wait, (cnd_t* condition, mtx_t* mutex), (condition, mutex), (condition, mutex), result_of(wait_for_condition(reinterpret_cast<pthread_cond_t*>(condition), reinterpret_cast<pthread_mutex_t*>(mutex), Deadline())))
LOCK_CALL(cnd_timedwait, (cnd_t* condition, mtx_t* mutex, const struct timespec* until), (condition, mutex, until), (condition, mutex), result_of(wait_for_condition(reinterpret_cast<pthread_cond_t*>(condition), reinterpret_cast<pthread_mutex_t*>(mutex), Deadline(CLOCK_REALTIME, until))))
WAKE_CALL(cnd_signal, (cnd_t* condition), condition)
WAKE_CALL(cnd_broadcast, (cnd_t* condition), condition)

// --- the others ----------------------------------------------------------------------------------
LOCK_CALL(pthread_rwlock_rdlock, (pthread_rwlock_t* lock) noexcept, (lock), (lock), take_rwlock(lock, Deadline(), true))
LOCK_CALL(pthread_rwlock_wrlock, (pthread_rwlock_t* lock) noexcept, (lock), (lock), take_rwlock(lock, Deadline(), false))
LOCK_CALL(pthread_rwlock_timedrdlock, (pthread_rwlock_t* lock, const struct timespec* until) noexcept, (lock, until), (lock), take_rwlock(lock, Deadline(CLOCK_REALTIME, until), true))
LOCK_CALL(pthread_rwlock_timedwrlock, (pthread_rwlock_t* lock, const struct timespec* until) noexcept, (lock, until), (lock), take_rwlock(lock, Deadline(CLOCK_REALTIME, until), false))
LOCK_CALL(pthread_rwlock_clockrdlock, (pthread_rwlock_t* lock, clockid_t clock, const struct timespec* until) noexcept, (lock, clock, until), (lock), take_rwlock(lock, Deadline(clock, until), true))
LOCK_CALL(pthread_rwlock_clockwrlock, (pthread_rwlock_t* lock, clockid_t clock, const struct timespec* until) noexcept, (lock, clock, until), (lock), take_rwlock(lock, Deadline(clock, until), false))
WAKE_CALL(pthread_rwlock_unlock, (pthread_rwlock_t* lock) noexcept, lock)
LOCK_CALL(pthread_barrier_wait, (pthread_barrier_t* barrier) noexcept, (barrier), (barrier), wait_at_barrier(*reinterpret_cast<Barrier*>(barrier)))
LOCK_CALL(sem_wait, (sem_t* semaphore), (semaphore), (semaphore), wait_for_semaphore(semaphore, Deadline()))
LOCK_CALL(sem_timedwait, (sem_t* semaphore, const struct timespec* until), (semaphore, until), (semaphore), wait_for_semaphore(semaphore, Deadline(CLOCK_REALTIME, until)))
LOCK_CALL(sem_clockwait, (sem_t* semaphore, clockid_t clock, const struct timespec* until), (semaphore, clock, until), (semaphore), wait_for_semaphore(semaphore, Deadline(clock, until)))
WAKE_CALL(sem_post, (sem_t* semaphore) noexcept, semaphore)
// clang-format on
