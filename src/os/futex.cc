// Futexes by the bare system call: FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC deadline, so
// that a wait that is resumed after a signal does not get longer. Words may lie in memory shared
// between processes (no FUTEX_PRIVATE_FLAG).
#include "os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

namespace sluice::os {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void wake(std::atomic<std::uint32_t>& word, int count) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

}  // namespace

FutexResult futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::chrono::steady_clock::time_point deadline) noexcept {
  timespec until{};
  timespec* limit = nullptr;
  if (deadline != std::chrono::steady_clock::time_point::max()) {
    const auto since_boot = std::max(deadline.time_since_epoch(), std::chrono::nanoseconds::zero());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
    until.tv_sec = static_cast<time_t>(seconds.count());
    until.tv_nsec = static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count());
    limit = &until;
  }
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, limit, nullptr,
                                FUTEX_BITSET_MATCH_ANY);
  if (result == 0 || errno == EAGAIN) return FutexResult::woken;
  return errno == ETIMEDOUT ? FutexResult::timed_out : FutexResult::interrupted;
}

void futex_wake_all(std::atomic<std::uint32_t>& word) noexcept { wake(word, INT_MAX); }
void futex_wake_one(std::atomic<std::uint32_t>& word) noexcept { wake(word, 1); }

}  // namespace sluice::os
