// ByDevice: a value for each device that a space can have, found by the device's number.
#pragma once

#include <array>
#include <cstddef>

#include "sluice/location.hpp"

namespace sluice::engine {

template <typename Value>
class ByDevice {
 public:
  [[nodiscard]] Value& operator[](int device) noexcept {
    return values_[static_cast<std::size_t>(device)];
  }
  [[nodiscard]] const Value& operator[](int device) const noexcept {
    return values_[static_cast<std::size_t>(device)];
  }
  void fill(const Value& value) { values_.fill(value); }

 private:
  std::array<Value, max_devices> values_{};
};

}  // namespace sluice::engine
