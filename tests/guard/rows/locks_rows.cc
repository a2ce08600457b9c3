// Locks of libc in managed memory: each row lets a few threads contend, and says what came of it.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "rows.hpp"

using namespace rows;

namespace {

constexpr int threads = 3;
constexpr int turns = 60;

template <typename Work>
void in_threads(Work&& work) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i)
    all.emplace_back([&] {
      for (int turn = 0; turn < turns; ++turn) {
        work();
        if (turn % 8 == 0) away();
      }
    });
  for (std::thread& one : all) one.join();
}

bool is(const char* name, const char* other) { return strcmp(name, other) == 0; }

timespec in_an_hour(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += 3600;
  return time;
}
timespec soon(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_nsec += 3'000'000;
  time.tv_sec += time.tv_nsec / 1'000'000'000;
  time.tv_nsec %= 1'000'000'000;
  return time;
}

// Holds the lock long enough for the others to sleep on it now and then.
void work_on(int* count, int turn) {
  const int before = *count;
  if (turn % 16 == 0) usleep(300);
  *count = before + 1;
}

}  // namespace

ROW("pthread_mutex_lock pthread_mutex_timedlock pthread_mutex_clocklock") {
  auto* const mutex = put(pthread_mutex_t(PTHREAD_MUTEX_INITIALIZER));
  int* const count = put(0);
  auto* const real = put(in_an_hour(CLOCK_REALTIME));
  auto* const steady = put(in_an_hour(CLOCK_MONOTONIC));
  in_threads([&] {
    const int error = is(name, "pthread_mutex_lock") ? pthread_mutex_lock(mutex)
                      : is(name, "pthread_mutex_timedlock")
                          ? pthread_mutex_timedlock(mutex, real)
                          : pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, steady);
    if (error != 0) say("%d", error);
    work_on(count, *count);
    pthread_mutex_unlock(mutex);
  });
  say("%d", *count);
  pthread_mutex_lock(mutex);
  auto* const limit = put(soon(CLOCK_REALTIME));
  std::thread([&] { say("%d", pthread_mutex_timedlock(mutex, limit)); }).join();
  pthread_mutex_unlock(mutex);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  auto* const checked = put(pthread_mutex_t{});
  pthread_mutex_init(checked, &attributes);
  say("%d %d", pthread_mutex_lock(checked), pthread_mutex_lock(checked));
  say("%d %d", pthread_mutex_unlock(checked), pthread_mutex_unlock(checked));
}
ROW("pthread_mutex_unlock") {
  auto* const mutex = put(pthread_mutex_t(PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP));
  away();
  say("%d %d", pthread_mutex_lock(mutex), pthread_mutex_lock(mutex));
  away();
  say("%d %d", pthread_mutex_unlock(mutex), pthread_mutex_unlock(mutex));
  std::thread([&] {
    say("%d %d", pthread_mutex_trylock(mutex), pthread_mutex_unlock(mutex));
  }).join();
}
ROW("mtx_lock mtx_timedlock mtx_unlock") {
  auto* const mutex = put(mtx_t{});
  mtx_init(mutex, mtx_timed);
  int* const count = put(0);
  auto* const real = put(in_an_hour(CLOCK_REALTIME));
  in_threads([&] {
    if ((is(name, "mtx_lock") ? mtx_lock(mutex) : mtx_timedlock(mutex, real)) != thrd_success)
      say("not");
    work_on(count, *count);
    mtx_unlock(mutex);
  });
  say("%d", *count);
  mtx_lock(mutex);
  auto* const limit = put(soon(CLOCK_REALTIME));
  std::thread([&] { say("%d", mtx_timedlock(mutex, limit) == thrd_timedout); }).join();
  mtx_unlock(mutex);
}
ROW("pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait pthread_cond_signal "
    "pthread_cond_broadcast") {
  // Both managed, and one of the two.
  for (const int kind : {0, 1, 2}) {
    pthread_mutex_t plain_mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t plain_condition = PTHREAD_COND_INITIALIZER;
    auto* const mutex = kind == 1 ? &plain_mutex : put(pthread_mutex_t(PTHREAD_MUTEX_INITIALIZER));
    auto* const ready =
        kind == 2 ? &plain_condition : put(pthread_cond_t(PTHREAD_COND_INITIALIZER));
    int* const waiting = put(0);
    int* const served = put(0);
    auto* const real = put(in_an_hour(CLOCK_REALTIME));
    auto* const steady = put(in_an_hour(CLOCK_MONOTONIC));
    std::thread consumer([&] {
      for (int i = 0; i < 150; ++i) {
        pthread_mutex_lock(mutex);
        while (*waiting == 0) {
          const int error = is(name, "pthread_cond_timedwait")
                                ? pthread_cond_timedwait(ready, mutex, real)
                            : is(name, "pthread_cond_clockwait")
                                ? pthread_cond_clockwait(ready, mutex, CLOCK_MONOTONIC, steady)
                                : pthread_cond_wait(ready, mutex);
          if (error != 0) say("%d", error);
        }
        --*waiting;
        ++*served;
        pthread_mutex_unlock(mutex);
      }
    });
    for (int i = 0; i < 150; ++i) {
      pthread_mutex_lock(mutex);
      ++*waiting;
      pthread_mutex_unlock(mutex);
      is(name, "pthread_cond_broadcast") ? pthread_cond_broadcast(ready)
                                         : pthread_cond_signal(ready);
      if (i % 10 == 0) {
        usleep(100);
        away();
      }
    }
    consumer.join();
    say("%d", *served);
    pthread_mutex_lock(mutex);
    auto* const limit = put(soon(CLOCK_REALTIME));
    say("%d", pthread_cond_timedwait(ready, mutex, limit));
    say("%d", pthread_mutex_unlock(mutex));
    // A thread that is cancelled in it holds the mutex in its cleanup.
    static std::atomic<bool> sleeps;
    static std::atomic<int> cleaned;
    static pthread_mutex_t* held;
    static pthread_cond_t* never;
    sleeps = false;
    cleaned = 0;
    held = mutex;
    never = ready;
    pthread_t sleeper;
    pthread_create(
        &sleeper, nullptr,
        [](void*) -> void* {
          pthread_mutex_lock(held);
          pthread_cleanup_push(
              [](void*) {
                cleaned = 1;
                pthread_mutex_unlock(held);
              },
              nullptr);
          sleeps = true;
          while (true) pthread_cond_wait(never, held);
          pthread_cleanup_pop(0);
          return nullptr;
        },
        nullptr);
    while (!sleeps.load()) usleep(100);
    pthread_mutex_lock(mutex);  // it waits, or it could not be had
    pthread_mutex_unlock(mutex);
    pthread_cancel(sleeper);
    void* ended = nullptr;
    pthread_join(sleeper, &ended);
    say("%d %d %d", ended == PTHREAD_CANCELED, cleaned.load(), pthread_mutex_trylock(mutex));
    pthread_mutex_unlock(mutex);
  }
}
ROW("cnd_wait cnd_timedwait cnd_signal cnd_broadcast") {
  auto* const mutex = put(mtx_t{});
  auto* const ready = put(cnd_t{});
  int* const waiting = put(0);
  mtx_init(mutex, mtx_plain);
  cnd_init(ready);
  auto* const real = put(in_an_hour(CLOCK_REALTIME));
  std::thread consumer([&] {
    for (int i = 0; i < 100; ++i) {
      mtx_lock(mutex);
      while (*waiting == 0)
        is(name, "cnd_timedwait") ? cnd_timedwait(ready, mutex, real) : cnd_wait(ready, mutex);
      --*waiting;
      mtx_unlock(mutex);
    }
  });
  for (int i = 0; i < 100; ++i) {
    mtx_lock(mutex);
    ++*waiting;
    mtx_unlock(mutex);
    is(name, "cnd_broadcast") ? cnd_broadcast(ready) : cnd_signal(ready);
    if (i % 10 == 0) away();
  }
  consumer.join();
  say("%d", *waiting);
}
ROW("pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_timedrdlock "
    "pthread_rwlock_timedwrlock "
    "pthread_rwlock_clockrdlock pthread_rwlock_clockwrlock pthread_rwlock_unlock") {
  auto* const lock = put(pthread_rwlock_t(PTHREAD_RWLOCK_INITIALIZER));
  int* const count = put(0);
  auto* const real = put(in_an_hour(CLOCK_REALTIME));
  auto* const steady = put(in_an_hour(CLOCK_MONOTONIC));
  in_threads([&] {
    const int reads = strstr(name, "timed") != nullptr ? pthread_rwlock_timedrdlock(lock, real)
                      : strstr(name, "clock_") == nullptr
                          ? pthread_rwlock_rdlock(lock)
                          : pthread_rwlock_clockrdlock(lock, CLOCK_MONOTONIC, steady);
    if (reads != 0) say("%d", reads);
    pthread_rwlock_unlock(lock);
    const int writes = strstr(name, "timed") != nullptr ? pthread_rwlock_timedwrlock(lock, real)
                       : strstr(name, "lock_clock") != nullptr
                           ? pthread_rwlock_clockwrlock(lock, CLOCK_MONOTONIC, steady)
                           : pthread_rwlock_wrlock(lock);
    if (writes != 0) say("%d", writes);
    work_on(count, *count);
    pthread_rwlock_unlock(lock);
  });
  say("%d", *count);
  say("%d %d", pthread_rwlock_wrlock(lock), pthread_rwlock_wrlock(lock));
  pthread_rwlock_unlock(lock);
}
ROW("pthread_barrier_wait") {
  auto* const barrier = put(pthread_barrier_t{});
  pthread_barrier_init(barrier, nullptr, threads);
  std::atomic<int> last = 0;
  std::atomic<int> came = 0;
  std::atomic<int> early = 0;
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i)
    all.emplace_back([&] {
      for (int round = 1; round <= 40; ++round) {
        ++came;
        last += pthread_barrier_wait(barrier) == PTHREAD_BARRIER_SERIAL_THREAD ? 1 : 0;
        early += came.load() < round * threads ? 1 : 0;
        if (round % 8 == 0) away();
      }
    });
  for (std::thread& one : all) one.join();
  say("%d %d %d", last.load(), early.load(), pthread_barrier_destroy(barrier));
}
ROW("sem_wait sem_timedwait sem_clockwait sem_post") {
  auto* const semaphore = put(sem_t{});
  sem_init(semaphore, 0, 0);
  auto* const real = put(in_an_hour(CLOCK_REALTIME));
  auto* const steady = put(in_an_hour(CLOCK_MONOTONIC));
  std::thread taker([&] {
    for (int i = 0; i < 200; ++i)
      while ((is(name, "sem_timedwait")   ? sem_timedwait(semaphore, real)
              : is(name, "sem_clockwait") ? sem_clockwait(semaphore, CLOCK_MONOTONIC, steady)
                                          : sem_wait(semaphore)) != 0)
        say("%d", errno);
  });
  for (int i = 0; i < 200; ++i) {
    sem_post(semaphore);
    if (i % 10 == 0) {
      usleep(100);
      away();
    }
  }
  taker.join();
  auto* const limit = put(soon(CLOCK_REALTIME));
  result(sem_timedwait(semaphore, limit));
  // A handler that runs meanwhile ends it.
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR2, &action, &before);
  std::atomic<bool> ended = false;
  const pthread_t self = pthread_self();
  std::thread sender([&] {
    while (!ended.load()) {
      usleep(2000);
      pthread_kill(self, SIGUSR2);
    }
  });
  result(sem_wait(semaphore));
  ended = true;
  sender.join();
  sigaction(SIGUSR2, &before, nullptr);
}
// std::atomic::wait() and its like, which libstdc++ makes of syscall().
ROW("syscall") {
  auto* const word = new (put(0U)) std::atomic<std::uint32_t>(0);
  std::thread waker([&] {
    for (std::uint32_t i = 1; i <= 100; ++i) {
      word->wait(2 * i - 2);
      word->store(2 * i);
      word->notify_all();
    }
  });
  for (std::uint32_t i = 1; i <= 100; ++i) {
    word->store(2 * i - 1);
    word->notify_all();
    if (i % 10 == 0) away();
    for (std::uint32_t seen = word->load(); seen != 2 * i; seen = word->load()) word->wait(seen);
  }
  waker.join();
  say("%u", word->load());
  auto* const limit = put(timespec{0, 1'000'000});
  away();
  result(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, word->load(), limit, nullptr, 0));
}
