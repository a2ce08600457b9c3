// CopyWatch: reports when a driver makes no progress with the copies that move pages.
//
// Waiting for a copy has no limit, because nothing else could be done: the access that it answers
// cannot go on without it. If one of the driver's own threads is blocked in such an access, perhaps
// under a lock that the copy needs, the driver would silently wait for itself forever.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "os/threads.hpp"

namespace sluice::device::opencl {

class CopyWatch {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t most = 64;  // waits that are watched at once

  // The copy that a thread waits for.
  struct Copy {
    const char* what = "nothing";  // lives as long as the watch
    Address address;               // of the managed bytes
    std::size_t size = 0;
  };

  // `advice` ends each report, and lives as long as the watch.
  CopyWatch(Clock::duration report_after, const char* advice) noexcept
      : report_after_(report_after), advice_(advice) {}
  CopyWatch(const CopyWatch&) = delete;
  CopyWatch& operator=(const CopyWatch&) = delete;
  ~CopyWatch();
  [[nodiscard]] Result<void> start();

  // Watches a call or a wait for as long as it lives. Takes no lock and allocates nothing; when too
  // many wait at once some are not watched.
  class Waiter {
   public:
    Waiter(CopyWatch& watch, const Copy& copy) noexcept;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter();

   private:
    CopyWatch& watch_;
    std::size_t index_ = most;
  };

 private:
  struct Entry {
    std::atomic<bool> taken{false};
    std::atomic<Clock::rep> since{0};     // 0: nothing to look at
    std::atomic<Clock::rep> reported{0};  // the `since` that was reported
    std::atomic<const char*> what{nullptr};
    std::atomic<std::uintptr_t> address{0};
    std::atomic<std::size_t> size{0};
  };
  void run();
  // True if there is any wait to look at.
  [[nodiscard]] bool look_at_all();
  void look_at(Entry& entry, Clock::rep since) const;

  const Clock::duration report_after_;
  const char* const advice_;
  std::array<Entry, most> entries_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> asleep_{false};
  std::atomic<std::uint32_t> bell_{0};
  os::Thread thread_;
};

// The copies of one queue by their numbers on its timeline, so that a report names the copy that is
// waited for. Thread-safe. Of a copy that is long gone it knows only a later one.
class RecentCopies {
 public:
  void set(std::uint64_t number, const CopyWatch::Copy& copy) noexcept {
    MutexLock lock(mutex_);
    copies_[number % kept] = copy;
  }
  [[nodiscard]] CopyWatch::Copy get(std::uint64_t number) const noexcept {
    MutexLock lock(mutex_);
    return copies_[number % kept];
  }

 private:
  static constexpr std::size_t kept = 64;
  // No other lock is taken under it.
  mutable RankedMutex mutex_{LockRank::request, "opencl recent copies"};
  std::array<CopyWatch::Copy, kept> copies_ SLUICE_GUARDED_BY(mutex_){};
};

}  // namespace sluice::device::opencl
