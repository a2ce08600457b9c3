// Devices: the devices of a space, by number.
//
// They are added while the space opens and destroyed when it closes; in between the list does not
// change, and any thread may read it.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace sluice::transfer {

class Devices {
 public:
  // `number`: has() returns true for it.
  [[nodiscard]] device::Device& operator[](int number) const noexcept {
    return *devices_[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] int count() const noexcept { return static_cast<int>(devices_.size()); }
  [[nodiscard]] bool has(int number) const noexcept { return number >= 0 && number < count(); }

  // Its number is the count before.
  void add(std::unique_ptr<device::Device> device) { devices_.push_back(std::move(device)); }
  void clear() noexcept { devices_.clear(); }

  // In the order of their numbers, as pointers to them.
  [[nodiscard]] auto begin() const noexcept { return devices_.begin(); }
  [[nodiscard]] auto end() const noexcept { return devices_.end(); }

 private:
  std::vector<std::unique_ptr<device::Device>> devices_;
};

}  // namespace sluice::transfer
