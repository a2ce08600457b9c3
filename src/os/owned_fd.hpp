// OwnedFd: a file descriptor of this library, with exactly one owner.
//
// Programs close descriptors that they do not know, and open files of their own, which then get the
// numbers. So every descriptor here is above 2, close-on-exec, and remembers its file: reset()
// closes no file of the program, and is_intact() is asked before a call that would harm one. A
// forked child closes its copies before fork returns, or it would keep the memory of its parent.
// Linux gives all eventfds one inode, so two of them cannot be told apart.
#pragma once

#include <sys/types.h>

#include <utility>

#include "os/calls.hpp"

namespace sluice::os {

class OwnedFd {
 public:
  OwnedFd() noexcept = default;
  // Takes a descriptor over, and moves it above 2. If the process may have no more, it is closed,
  // and errno says why.
  explicit OwnedFd(int file) noexcept;
  OwnedFd(OwnedFd&& other) noexcept
      : file_(std::exchange(other.file_, -1)), device_(other.device_), inode_(other.inode_) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      file_ = std::exchange(other.file_, -1);
      device_ = other.device_;
      inode_ = other.inode_;
    }
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return file_; }
  [[nodiscard]] bool is_open() const noexcept { return file_ >= 0; }
  // True if the number still names the file that it was made for. One system call, 0.2 us.
  [[nodiscard]] bool is_intact() const noexcept;
  [[nodiscard]] int release() noexcept;

  void reset() noexcept;

 private:
  int file_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace sluice::os
