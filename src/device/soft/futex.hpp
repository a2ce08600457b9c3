// Sleeping and waking across processes, and the short spin that comes before.
//
// Futexes are the shared kind: the word lies in memory that two processes map. Cost: a wake about 1 us, plus what the
// scheduler takes to start the sleeper (3 to 50 us); a spin that succeeds saves both.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>

namespace sluice::device::soft {

using Clock = std::chrono::steady_clock;

enum class Woken : std::uint8_t { changed, timed_out, interrupted };

inline void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Calls `done` until it is true or `limit` has passed; the last answer.
template <typename Done>
bool spin_until(Done&& done, std::chrono::microseconds limit) noexcept {
  if (done()) return true;
  if (limit.count() == 0) return false;
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < 16; ++i) {
      pause_cpu();
      if (done()) return true;
    }
  } while (Clock::now() < end);
  return false;
}

// Sleeps while the 32-bit *word == seen. A deadline is always given to the kernel: without one, a handler installed with SA_RESTART
// would restart the call instead of ending it (futex(2), "restart_syscall").
inline Woken futex_wait(const void* word, std::uint32_t seen,
                        Clock::time_point deadline = Clock::time_point::max()) noexcept {
  const auto since_epoch = deadline.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
  timespec until{};
  until.tv_sec = deadline == Clock::time_point::max() ? INT_MAX : seconds.count();
  until.tv_nsec = deadline == Clock::time_point::max() ? 0 : std::chrono::nanoseconds(since_epoch - seconds).count();
  const long outcome =
      syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (outcome == 0 || errno == EAGAIN) return Woken::changed;
  return errno == EINTR ? Woken::interrupted : Woken::timed_out;
}

inline void futex_wake(const void* word) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Sleepers on a 64-bit counter use the half that changes with every step.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a counter must be at its address");

}  // namespace sluice::device::soft
