// Worker: a thread that does jobs in order. The queue is a fixed ring, so that fault-handler
// threads may add to it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "fault/engine_threads.hpp"
#include "os/futex.hpp"
#include "os/threads.hpp"

namespace sluice::engine {

// Job: a small copyable value.
template <typename Job, std::size_t Capacity = 256>
class Worker {
 public:
  Worker() = default;
  ~Worker() { stop(); }

  // `idle` runs once when there was no job for two seconds after the last.
  [[nodiscard]] Result<void> start(const char* name, std::function<void(const Job&)> work,
                                   std::function<void()> idle = nullptr) {
    work_ = std::move(work);
    idle_ = std::move(idle);
    SLUICE_ASSIGN(thread, os::Thread::start(name, [this] { run(); }));
    thread_ = std::move(thread);
    return {};
  }
  // The jobs that were added are done first.
  void stop() noexcept {
    stopping_ = true;
    bell_.fetch_add(1, std::memory_order_release);
    os::futex_wake_all(bell_);
    thread_.join();
  }
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { thread_.forget(); }

  // Adds the job that `make()` returns, which is called under the queue's lock. False if the ring
  // is full.
  template <typename Make>
  [[nodiscard]] bool add(Make&& make) noexcept {
    {
      MutexLock lock(mutex_);
      if (last_ - first_ == Capacity) return false;
      jobs_[last_++ % Capacity] = make();
    }
    bell_.fetch_add(1, std::memory_order_release);
    os::futex_wake_all(bell_);
    return true;
  }
  // Waits while the ring is full.
  template <typename Make>
  void wait_and_add(Make&& make) noexcept {
    while (!add(make)) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  [[nodiscard]] bool next(Job& job) {
    MutexLock lock(mutex_);
    if (first_ == last_) return false;
    job = jobs_[first_++ % Capacity];
    return true;
  }
  void run() {
    using Clock = std::chrono::steady_clock;
    fault::mark_engine_thread();
    Clock::time_point idle_at = Clock::time_point::max();
    while (true) {
      const std::uint32_t heard = bell_.load(std::memory_order_acquire);
      Job job;
      while (next(job)) {
        work_(job);
        if (idle_) idle_at = Clock::now() + idle_after;
      }
      if (stopping_) return;
      os::futex_wait(bell_, heard, idle_at);
      if (Clock::now() < idle_at) continue;
      idle_at = Clock::time_point::max();
      idle_();
    }
  }

  RankedMutex mutex_{LockRank::jobs, "jobs"};
  std::array<Job, Capacity> jobs_ SLUICE_GUARDED_BY(mutex_);
  std::size_t first_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::size_t last_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint32_t> bell_{0};
  std::atomic<bool> stopping_{false};
  static constexpr std::chrono::seconds idle_after{2};
  std::function<void(const Job&)> work_;
  std::function<void()> idle_;
  os::Thread thread_;
};

}  // namespace sluice::engine
