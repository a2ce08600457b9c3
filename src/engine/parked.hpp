// ParkedAccesses: host accesses that wait for a kernel.
//
// A fault-handler thread must not wait for a kernel: two of them would stop all other accesses of
// the program. So such an access is parked here, and a thread of its own wakes it when the kernel's
// fence is complete; the access is then made again.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <optional>

#include "base/ranked_mutex.hpp"
#include "engine/uses.hpp"
#include "engine/visits.hpp"
#include "fault/fault_source.hpp"
#include "observe/observe.hpp"
#include "os/threads.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

class ParkedAccesses {
 public:
  ParkedAccesses(const transfer::Timelines& timelines, Visits& visits, observe::Observer& observer,
                 const SpaceOptions& options);
  ~ParkedAccesses() { stop(); }

  [[nodiscard]] Result<void> start(fault::FaultSource& source);
  // Accesses that are still parked stay so.
  void stop() noexcept;
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { thread_.forget(); }

  // Returns false when there is no place left: the caller lets the access try again at once.
  // Allocates nothing.
  [[nodiscard]] bool park(const fault::AccessFault& access, const ActiveUse& until) noexcept;

 private:
  struct ParkedAccess {
    fault::AccessFault access;
    ActiveUse until;
    device::Clock::time_point since;
    bool reported = false;
  };

  void run();
  [[nodiscard]] bool visit_one() SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] std::optional<ParkedAccess> take_due() SLUICE_EXCLUDES(mutex_);
  [[nodiscard]] bool is_due(const ParkedAccess& parked, device::Clock::time_point now) const;
  [[nodiscard]] device::Fence wake_ready() SLUICE_EXCLUDES(mutex_);
  void look_at(ParkedAccess& parked, device::Clock::time_point now) SLUICE_REQUIRES(mutex_);

  const transfer::Timelines& timelines_;
  Visits& visits_;
  device::Fence visited_;  // the kernel that was visited last
  observe::Observer& observer_;
  const std::chrono::milliseconds timeout_;
  const Stuck stuck_;
  fault::FaultSource* source_ = nullptr;
  RankedMutex mutex_{LockRank::parked, "parked"};
  std::array<ParkedAccess, 1024> parked_ SLUICE_GUARDED_BY(mutex_);
  std::size_t count_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint32_t> arrivals_{0};  // the thread sleeps on it when nothing is parked
  std::atomic<bool> stopping_{false};
  os::Thread thread_;
};

}  // namespace sluice::engine
