// Kernel: a function on one device, found by name.
//
// A small value that owns nothing: it is valid as long as its space, and only in queues of that
// space; others refuse to launch it. After Space::reset_device() find it again.
#pragma once

#include <cstdint>

namespace sluice {

class Kernel {
 public:
  // The device it runs on.
  [[nodiscard]] int device() const noexcept { return device_; }

  friend bool operator==(const Kernel&, const Kernel&) noexcept = default;

 private:
  friend struct Inside;

  Kernel(int device, std::uint32_t space, std::uint64_t id) noexcept
      : device_(device), space_(space), id_(id) {}

  int device_;
  std::uint32_t space_;  // the number of its space; queues of other spaces refuse it
  std::uint64_t id_;
};

}  // namespace sluice
