// Contention: how a request waits for other threads that are busy with the blocks that it wants.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace sluice::engine::contention {

using Clock = std::chrono::steady_clock;

// A pause, where nothing tells the end of what is waited for.
inline constexpr std::chrono::microseconds moment{100};
inline void yield() { std::this_thread::sleep_for(moment); }

// For so long others may keep a request from evictable blocks before it takes memory to be full.
// They are busy for a copy or two.
inline constexpr std::chrono::seconds patience{5};

// Tells the requests that wait that this thread has let go of something that one of them wanted.
// There is one count for the process: a wake-up too many costs an attempt. Never allocates.
void announce() noexcept;

// The waits of one request.
class Wait {
 public:
  // Before an attempt, so that no announcement during it is missed.
  void begin() noexcept;
  // Others have been in the way for too long.
  [[nodiscard]] bool is_over() const noexcept { return Clock::now() >= end_; }
  // After an attempt: until another thread has announced something since begin(), at most until
  // the deadline. Call without claims: the others may need one of them.
  void wait(Clock::time_point until = Clock::time_point::max()) noexcept;

 private:
  std::uint32_t seen_ = 0;
  std::uint32_t own_ = 0;                             // this thread's own announcements until then
  Clock::time_point end_ = Clock::time_point::max();  // set by the first wait
};

}  // namespace sluice::engine::contention
