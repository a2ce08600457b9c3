// Thread: a thread of the engine. All signals are blocked in it from its first instruction, so that
// no handler of the application ever runs on it; its stack is small, because mlockall(MCL_FUTURE)
// would pin all of a default one.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/result.hpp"

namespace sluice::os {

class Thread {
 public:
  Thread() noexcept = default;
  // `name`: at most 15 characters, seen in /proc and debuggers. out_of_host_memory when the machine
  // has no thread left.
  [[nodiscard]] static Result<Thread> start(const char* name, std::function<void()> run);

  Thread(Thread&& other) noexcept
      : handle_(std::exchange(other.handle_, {})),
        joinable_(std::exchange(other.joinable_, false)) {}
  Thread& operator=(Thread&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(joinable_, other.joinable_);
    return *this;
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { join(); }

  // Waits for the end of the thread. No-op when there is none.
  void join() noexcept;
  // Forgets the thread. In a forked child there is nothing to join.
  void forget() noexcept { joinable_ = false; }

 private:
  pthread_t handle_{};
  bool joinable_ = false;
};

}  // namespace sluice::os
