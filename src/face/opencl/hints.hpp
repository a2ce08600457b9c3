// Hints: the thread of a context that carries out migrations asked for ahead, and completes their
// events.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "engine/worker.hpp"

namespace sluice::opencl {

// Thread-safe. Jobs are done in order, on a thread that never touches managed memory.
class Hints {
 public:
  Hints() = default;
  Hints(const Hints&) = delete;
  Hints& operator=(const Hints&) = delete;
  ~Hints();

  // False if there is no thread for it; nothing is done then.
  [[nodiscard]] bool add(std::function<void()> job);
  // Waits until everything added before the call is done.
  void wait_for_all() const noexcept;

 private:
  using Job = std::shared_ptr<std::function<void()>>;
  [[nodiscard]] bool start();

  RankedMutex mutex_{LockRank::objects, "opencl hints"};
  bool started_ SLUICE_GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> added_{0};
  std::atomic<std::uint64_t> done_{0};
  mutable std::atomic<std::uint32_t> bell_{0};
  engine::Worker<Job> worker_;
};

}  // namespace sluice::opencl
