// DeviceSet: a set of devices, by number.
#pragma once

#include <bit>
#include <cstdint>

#include "sluice/location.hpp"

namespace sluice {

class DeviceSet {
 public:
  constexpr DeviceSet() noexcept = default;
  constexpr explicit DeviceSet(int device) noexcept : bits_(bit(device)) {}
  // The devices among the locations.
  constexpr explicit DeviceSet(const LocationSet& locations) noexcept
      : bits_(locations.devices()) {}

  // Bit n: device n.
  [[nodiscard]] static constexpr DeviceSet of_mask(std::uint64_t mask) noexcept {
    DeviceSet set;
    set.bits_ = mask;
    return set;
  }

  constexpr void insert(int device) noexcept { bits_ |= bit(device); }
  constexpr void erase(int device) noexcept { bits_ &= ~bit(device); }
  [[nodiscard]] constexpr bool contains(int device) const noexcept {
    return (bits_ & bit(device)) != 0;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  // The lowest number; the set is not empty.
  [[nodiscard]] constexpr int first() const noexcept { return std::countr_zero(bits_); }

  // Calls `visit(int device)` for each, in the order of their numbers.
  template <typename Visitor>
  constexpr void for_each(Visitor&& visit) const {
    for (std::uint64_t rest = bits_; rest != 0; rest &= rest - 1) visit(std::countr_zero(rest));
  }

  constexpr DeviceSet& operator|=(DeviceSet other) noexcept {
    bits_ |= other.bits_;
    return *this;
  }
  friend constexpr DeviceSet operator|(DeviceSet a, DeviceSet b) noexcept { return a |= b; }
  friend constexpr DeviceSet operator-(DeviceSet a, DeviceSet b) noexcept {
    a.bits_ &= ~b.bits_;
    return a;
  }
  // Devices that are in exactly one of the two.
  friend constexpr DeviceSet operator^(DeviceSet a, DeviceSet b) noexcept {
    a.bits_ ^= b.bits_;
    return a;
  }
  friend constexpr bool operator==(DeviceSet, DeviceSet) noexcept = default;

 private:
  static constexpr std::uint64_t bit(int device) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(device);
  }

  std::uint64_t bits_ = 0;
};

}  // namespace sluice
