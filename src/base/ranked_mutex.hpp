// RankedMutex: a mutex with a rank in the order in which locks may be taken.
//
// Faults come from anywhere, so a wrong order is a deadlock that no test is sure to find. In
// checked builds (SLUICE_CHECKED) each thread keeps the ranks it holds and aborts, naming both
// locks, when one is taken out of order. Ranks fall as locks nest: a thread may only take locks of
// a lower rank than those it holds. docs/locks.md lists them all.
#pragma once

#include <cstdint>
#include <mutex>
#include <shared_mutex>

#include "base/thread_annotations.hpp"

namespace sluice {

// Every lock of the process, outermost first.
enum class LockRank : std::uint8_t {
  sections = 99,     // face: opening the section of one stream
  objects = 98,      // face: a layer's records of the objects of its API
  spaces = 97,       // engine: which spaces the process has
  range_table = 95,  // engine: the live ranges and the free addresses
  ranges = 90,       // engine: which range an address belongs to
  relocations = 89,  // engine: which request is next to move mapped memory
  mappings = 88,     // engine: mapping operations under way
  mapping = 87,      // engine: how far one of them is
  leases = 85,       // engine: the leases in force
  advice = 80,       // engine: a range's advice
  readers = 75,      // engine: streaks of a range's sequential readers
  readiness = 70,    // engine: launches entering against accesses that take pages away
  strict = 68,       // engine: launches that are limited to what they name, and findings
  eviction = 65,     // engine: the record of a device's orders of eviction
  block = 60,        // engine: one block's directory
  jobs = 50,         // engine: work waiting for a thread of the engine
  parked = 40,       // engine: host accesses that wait for a fence
  devices = 35,      // back end: which of its devices are open in this process
  device = 30,       // back end: a device's own tables
  queue = 20,        // back end: the write end of one ring
  request = 15,      // back end: the socket to a device process
  host_rights = 12,  // fault: the protection of some blocks, in grade signal
  observe = 10,      // observe: making and reading the event ring
  pieces = 5,        // face: pieces handed out by a pool
  handles = 4,       // face: which handles of the C interface are free
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

// The same for a lock that many may hold for reading. Readers must not nest.
class SLUICE_CAPABILITY("shared mutex") RankedSharedMutex {
 public:
  explicit RankedSharedMutex(LockRank rank, const char* name) noexcept : rank_(rank), name_(name) {}
  RankedSharedMutex(const RankedSharedMutex&) = delete;
  RankedSharedMutex& operator=(const RankedSharedMutex&) = delete;

  void lock() SLUICE_ACQUIRE() {
    note_taken();
    mutex_.lock();
  }
  void unlock() SLUICE_RELEASE() {
    mutex_.unlock();
    note_released();
  }
  void lock_shared() SLUICE_ACQUIRE_SHARED() {
    note_taken();
    mutex_.lock_shared();
  }
  void unlock_shared() SLUICE_RELEASE_SHARED() {
    mutex_.unlock_shared();
    note_released();
  }

 private:
  void note_taken() noexcept {
#if SLUICE_CHECKED
    detail::lock_taken(rank_, name_);
#endif
  }
  void note_released() noexcept {
#if SLUICE_CHECKED
    detail::lock_released(rank_);
#endif
  }

  std::shared_mutex mutex_;
  [[maybe_unused]] LockRank rank_;
  [[maybe_unused]] const char* name_;
};

// Holds a RankedSharedMutex for a scope: for reading, or for writing.
class SLUICE_SCOPED_CAPABILITY ReadLock {
 public:
  explicit ReadLock(RankedSharedMutex& mutex) SLUICE_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReadLock() SLUICE_RELEASE() { mutex_.unlock_shared(); }
  ReadLock(const ReadLock&) = delete;
  ReadLock& operator=(const ReadLock&) = delete;

 private:
  RankedSharedMutex& mutex_;
};
class SLUICE_SCOPED_CAPABILITY WriteLock {
 public:
  explicit WriteLock(RankedSharedMutex& mutex) SLUICE_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~WriteLock() SLUICE_RELEASE() { mutex_.unlock(); }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

 private:
  RankedSharedMutex& mutex_;
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
