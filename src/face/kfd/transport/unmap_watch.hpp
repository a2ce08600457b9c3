// UnmapWatch: notices that memory which has attributes is unmapped or moved, by whoever does it.
//
// Linux tells it through userfaultfd. No page is protected, so no access faults. A thread that
// unmaps waits until the message has been read, which happens under the owner's lock: so its next
// call finds the attributes gone.
#pragma once

#include <cstdint>
#include <functional>

#include "os/owned_fd.hpp"
#include "os/threads.hpp"

namespace sluice::kfd {

class UnmapWatch {
 public:
  // Called on a thread of the watch: takes the owner's lock, and calls read() under it for as long
  // as it tells of memory.
  using Turn = std::function<void()>;
  explicit UnmapWatch(Turn turn) : turn_(std::move(turn)) {}

  // From now on. Memory that Linux cannot watch, such as that of files, is left out.
  void add(std::uint64_t address, std::uint64_t size);

  // The next memory that is gone; of size 0: there is none now.
  struct Gone {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  [[nodiscard]] Gone read() noexcept;

 private:
  void open();
  void run() noexcept;

  Turn turn_;
  os::OwnedFd file_;  // stays as it is while the thread runs
  os::Thread thread_;
  bool was_tried_ = false;
};

}  // namespace sluice::kfd
