// Kernel: a function on one device, found by name.
//
// A small value without an owner: it is valid as long as its space. After Space::reset_device() find it again.
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

  Kernel(int device, std::uint64_t id) noexcept : device_(device), id_(id) {}

  int device_;
  std::uint64_t id_;
};

}  // namespace sluice
