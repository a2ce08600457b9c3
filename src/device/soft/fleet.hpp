// Fleet: the software GPUs that are open in this process. Notices when one dies or hangs, and finds
// peers.
//
// One thread for all of them: it sleeps on their pidfds, and looks at their rings a few times in
// the time after which a command counts as hung. It calls only the devices, and never waits for
// one, so a death is noticed whatever the engine is doing.
//
// Cost when idle: one wake-up in a quarter of the shortest hang timeout (2.5 s by default).
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "os/owned_fd.hpp"
#include "os/threads.hpp"

struct pollfd;  // poll.h

namespace sluice::device::soft {

// The interface between the fleet and a device. Called on the fleet's thread with its lock held:
// may take locks below LockRank::devices, never waits for a device.
class Member {
 public:
  virtual ~Member() = default;
  // The process has ended. Called once for each watch().
  virtual void process_ended() noexcept = 0;
  // Called about every period. Ends the process when it hangs.
  virtual void look_for_hang() noexcept = 0;
};

class Fleet {
 public:
  // Names of members: the number within a group. Devices of one group can be peers.
  struct Name {
    const void* group;
    int number;
    friend bool operator==(const Name&, const Name&) noexcept = default;
  };

  // The calling process's: a forked child has devices of its own.
  static Fleet& instance() noexcept;

  // Enters a device, without watching its process yet. Errors: busy (the number is taken in this
  // group), and those of starting a thread.
  [[nodiscard]] Result<void> join(Name name, Member& member, std::chrono::milliseconds period)
      SLUICE_EXCLUDES(mutex_);
  // Watches the member's process until it has ended. `pidfd` stays the member's.
  void watch(const Member& member, int pidfd) SLUICE_EXCLUDES(mutex_);
  // After this, the member is not called any more.
  void leave(const Member& member) noexcept SLUICE_EXCLUDES(mutex_);

  // Calls visit(Member&) with the named member, which cannot leave meanwhile. False if there is
  // none.
  template <typename Visit>
  bool with(Name name, Visit&& visit) SLUICE_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.name != name) continue;
      visit(*entry.member);
      return true;
    }
    return false;
  }

 private:
  struct Entry {
    Name name;
    Member* member;
    std::chrono::milliseconds period;
    int pidfd;  // -1 while no process is watched
  };
  // One run of the thread; outlives the fleet's interest in it.
  struct Run {
    os::OwnedFd wake;
    std::atomic<bool> stop{false};
    bool hears = true;  // that thread only
    os::Thread thread;
  };

  [[nodiscard]] Result<void> start_thread() SLUICE_REQUIRES(mutex_);
  void run(Run& run) SLUICE_EXCLUDES(mutex_);
  void look_once(Run& run, std::vector<pollfd>& polled, std::vector<int>& ended)
      SLUICE_EXCLUDES(mutex_);
  void visit_members(const std::vector<int>& ended) SLUICE_EXCLUDES(mutex_);
  void poke() noexcept SLUICE_REQUIRES(mutex_);

  RankedMutex mutex_{LockRank::devices, "fleet"};
  std::vector<Entry> entries_ SLUICE_GUARDED_BY(mutex_);
  std::unique_ptr<Run> run_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::device::soft
