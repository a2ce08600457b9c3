// RankedMutex: a mutex that knows its place in the order in which locks may be taken.
//
// Faults come from anywhere, so a wrong order is a deadlock that no test finds by luck. In checked builds
// (SLUICE_CHECKED) each thread keeps the ranks it holds and aborts, naming both locks, when one is taken out of order.
// Ranks fall as locks nest: whoever holds a lock may take only locks of a lower rank. docs/locks.md lists them all.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/thread_annotations.hpp"

namespace sluice {

// Every lock of the process, outermost first.
enum class LockRank : std::uint8_t {
  space = 90,      // engine: the set of live ranges and of devices
  advice = 80,     // engine: a range's advice
  gate = 70,       // engine: launches entering against host accesses leaving
  block = 60,      // engine: one block's directory
  memory = 50,     // engine: what a device's memory holds
  parked = 40,     // engine: host accesses that wait for a fence
  device = 30,     // back end: a device's own tables
  queue = 20,      // back end: the write end of one ring
  observe = 10,    // observe: the list of event rings
};

namespace detail {
void lock_taken(LockRank rank, const char* name) noexcept;
void lock_released(LockRank rank) noexcept;
}  // namespace detail

class SLUICE_CAPABILITY("mutex") RankedMutex {
 public:
  explicit RankedMutex(LockRank rank, const char* name) noexcept : rank_(rank), name_(name) {}
  RankedMutex(const RankedMutex&) = delete;
  RankedMutex& operator=(const RankedMutex&) = delete;

  void lock() SLUICE_ACQUIRE() {
#if SLUICE_CHECKED
    detail::lock_taken(rank_, name_);
#endif
    mutex_.lock();
  }
  void unlock() SLUICE_RELEASE() {
    mutex_.unlock();
#if SLUICE_CHECKED
    detail::lock_released(rank_);
#endif
  }

 private:
  std::mutex mutex_;
  [[maybe_unused]] LockRank rank_;
  [[maybe_unused]] const char* name_;
};

// Holds a RankedMutex for a scope.
class SLUICE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(RankedMutex& mutex) SLUICE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() SLUICE_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  RankedMutex& mutex_;
};

}  // namespace sluice
