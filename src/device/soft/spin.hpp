// Spin: adaptive spinning before a sleep.
//
// A sleep and a wake cost 5 to 50 us, so both ends of a ring spin for a while first. That only pays
// while the other end runs on another core and answers fast. Where it does not (a long kernel, more
// threads than cores), spinning takes CPU time that the other end needs; so the time doubles when a
// spin succeeds and halves when it fails.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice::device::soft {

class Spin {
 public:
  using Microseconds = std::chrono::duration<std::uint32_t, std::micro>;

  // `longest` zero: never spins.
  explicit Spin(Microseconds longest = Microseconds(0)) noexcept
      : longest_(longest.count()), now_(longest_) {}
  void set_longest(Microseconds longest) noexcept {
    longest_ = longest.count();
    now_.store(longest_, std::memory_order_relaxed);
  }

  // Calls `done` until it is true or the time is over, and returns the last answer.
  template <typename Done>
  bool until(Done&& done) noexcept {
    if (done()) return true;
    if (longest_ == 0) return false;
    const std::uint32_t now = now_.load(std::memory_order_relaxed);
    const bool success = look(done, Microseconds(now));
    now_.store(
        success ? std::min(longest_, now * 2) : std::max(std::min(longest_, shortest), now / 2),
        std::memory_order_relaxed);
    return success;
  }

 private:
  static constexpr std::uint32_t shortest =
      4;  // the longest that a mapping or a small copy takes when all goes well

  template <typename Done>
  static bool look(Done&& done, Microseconds time) noexcept {
    const auto end = std::chrono::steady_clock::now() + time;
    do {
      for (int i = 0; i < 16; ++i) {
        pause();
        if (done()) return true;
      }
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::uint32_t longest_;
  std::atomic<std::uint32_t>
      now_;  // shared by the threads that wait at one place; a lost update is harmless
};

}  // namespace sluice::device::soft
