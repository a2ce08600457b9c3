// SpaceFinder: finds the spaces of running processes, as they publish themselves
// (observe/status_page.hpp).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "observe/status_page.hpp"
#include "os/owned_fd.hpp"

namespace sluice::tool::top {

// A space of a process, as it was when it answered last.
struct Space {
  pid_t process = 0;
  bool answers = false;  // it answered the last request
  observe::StatusPage page;
};

// One space's files.
class Source {
 public:
  Source(pid_t process, os::OwnedFd page, os::OwnedFd request) noexcept;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source();

  // False: its request file cannot be used.
  [[nodiscard]] bool can_ask() const noexcept { return mapped_ != nullptr; }
  void ask() noexcept;
  // True if it came, or cannot.
  [[nodiscard]] bool has_answered() noexcept;
  // False: the process has left no whole page.
  [[nodiscard]] bool read(Space& space) noexcept;

 private:
  const pid_t process_;
  const os::OwnedFd page_;
  const os::OwnedFd request_;
  observe::StatusRequest* mapped_ = nullptr;  // null: it may only be read
  std::uint32_t asked_ = 0;
};

// All processes that the user may look at; root sees those of everybody.
class SpaceFinder {
 public:
  // `only`: of this process; 0: of all.
  explicit SpaceFinder(pid_t only) noexcept : only_(only) {}

  // Finds new spaces, forgets those that have ended, asks all and waits for their answers, which
  // takes 0.2 s at most. In the order of processes and spaces.
  [[nodiscard]] std::vector<Space> look();

 private:
  using Name = std::pair<dev_t, ino_t>;  // of a page

  void find();
  void find_in(pid_t process, std::map<Name, std::unique_ptr<Source>>& found);

  const pid_t only_;
  std::map<Name, std::unique_ptr<Source>> sources_;
};

}  // namespace sluice::tool::top
