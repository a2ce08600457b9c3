// HandlerChanges: a thread that sets handlers of SIGSEGV over and over beside a stress run, as
// programs and their libraries do.
#pragma once

#include <atomic>
#include <thread>

namespace sluice::stress {

class HandlerChanges {
 public:
  // 0 changes a second: no thread at all.
  explicit HandlerChanges(int per_second);
  HandlerChanges(const HandlerChanges&) = delete;
  HandlerChanges& operator=(const HandlerChanges&) = delete;
  ~HandlerChanges();

 private:
  void run(int per_second);

  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace sluice::stress
