// Watchdog: notices that a thread has been busy with one and the same operation for too long.
//
// A thread that hangs inside an access cannot be ended, and its resources cannot be cleaned up. So
// a hang ends the process: the watchdog reports the operation of every thread, and calls a function
// that does not return.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "program/threads.hpp"
#include "stress/findings.hpp"

namespace sluice::stress {

class Watchdog {
 public:
  // `patience`: how long one operation may take.
  Watchdog(std::chrono::nanoseconds patience, Findings& findings, std::function<void()> give_up);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  // Explains an address, as Space::explain() does.
  using Explain = std::function<std::string(std::uint64_t address)>;
  // Watches the workers of a round, until the next call.
  void watch(std::vector<const Progress*> workers, Explain explain);
  // The current step of the thread that runs the rounds; it is watched as well.
  void main_does(const char* what);

 private:
  void run();
  void look();
  void explain_stuck() const;
  [[nodiscard]] bool is_stuck(const Progress& progress) const;

  const std::chrono::nanoseconds patience_;
  Findings& findings_;
  const std::function<void()> give_up_;
  Progress main_;

  std::mutex mutex_;
  std::condition_variable bell_;
  bool stop_ = false;
  std::vector<const Progress*> workers_;
  Explain explain_;
  std::thread thread_;
};

// Has the workers of a round watched as long as it lives, which is less long than they.
class WatchedWorkers {
 public:
  WatchedWorkers(Watchdog& watchdog, std::vector<const Progress*> workers,
                 Watchdog::Explain explain)
      : watchdog_(watchdog) {
    watchdog_.watch(std::move(workers), std::move(explain));
  }
  WatchedWorkers(const WatchedWorkers&) = delete;
  WatchedWorkers& operator=(const WatchedWorkers&) = delete;
  ~WatchedWorkers() { watchdog_.watch({}, {}); }

 private:
  Watchdog& watchdog_;
};

}  // namespace sluice::stress
