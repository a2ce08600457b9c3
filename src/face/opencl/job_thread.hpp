// JobThread: a thread of a context. One carries out migrations asked for ahead and completes their
// events, another makes copies between places of the host's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "engine/worker.hpp"

namespace sluice::opencl {

// Thread-safe. Jobs are done in order, on a thread that never touches memory managed for its
// context.
class JobThread {
 public:
  explicit JobThread(const char* name) noexcept : name_(name) {}
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;
  ~JobThread();

  // False if there is no thread for it; nothing is done then.
  [[nodiscard]] bool add(std::function<void()> job);
  // Waits until everything added before the call is done.
  void wait_for_all() const noexcept;

 private:
  using Job = std::shared_ptr<std::function<void()>>;
  [[nodiscard]] bool start();

  const char* const name_;
  RankedMutex mutex_{LockRank::objects, "opencl jobs"};
  bool started_ SLUICE_GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> added_{0};
  std::atomic<std::uint64_t> done_{0};
  mutable std::atomic<std::uint32_t> bell_{0};
  engine::Worker<Job> worker_;
};

}  // namespace sluice::opencl
