// OwnedFd: a file descriptor with exactly one owner.
#pragma once

#include <utility>

#include "os/calls.hpp"

namespace sluice::os {

class OwnedFd {
 public:
  OwnedFd() noexcept = default;
  explicit OwnedFd(int file) noexcept : file_(file) {}
  OwnedFd(OwnedFd&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      file_ = std::exchange(other.file_, -1);
    }
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return file_; }
  [[nodiscard]] bool is_open() const noexcept { return file_ >= 0; }
  [[nodiscard]] int release() noexcept { return std::exchange(file_, -1); }

  void reset() noexcept {
    if (file_ >= 0)
      calls().close(
          std::exchange(file_, -1));  // never retried: Linux frees the number even on EINTR
  }

 private:
  int file_ = -1;
};

}  // namespace sluice::os
