// Futexes: sleeping on a word until it changes, with a deadline and without losing signals.
// std::atomic::wait supports neither deadlines nor interruption nor words shared between processes.
// Source: futex(2).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice::os {

enum class FutexResult : std::uint8_t {
  woken,  // or the word differed, or a spurious return: look again
  timed_out,
  interrupted,  // a signal handler ran on this thread
};

// Sleeps while `word` is `expected`, until woken or until the deadline (none: time_point::max()).
FutexResult futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::chrono::steady_clock::time_point deadline) noexcept;
// The deadline for a sleep that a signal must end: Linux restarts one without a deadline after a
// handler that was installed with SA_RESTART, and never one with a deadline.
constexpr std::chrono::steady_clock::time_point interruptible_until(
    std::chrono::steady_clock::time_point deadline) noexcept {
  constexpr auto far_away = std::chrono::steady_clock::time_point::max() - std::chrono::hours(1);
  return deadline < far_away ? deadline : far_away;
}
void futex_wake_all(std::atomic<std::uint32_t>& word) noexcept;
void futex_wake_one(std::atomic<std::uint32_t>& word) noexcept;

}  // namespace sluice::os
