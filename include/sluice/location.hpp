// Location: a place where bytes can live: the host, or one of up to 64 devices.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <string>

#include "sluice/export.hpp"

namespace sluice {

constexpr int max_devices = 64;

class Location {
 public:
  static constexpr Location host() noexcept { return Location(-1); }
  // No space has a device of another number than 0 to 63, so calls refuse it (unknown_device).
  static constexpr Location device(int number) noexcept {
    return Location(number >= 0 && number <= largest ? number : largest);
  }

  [[nodiscard]] constexpr bool is_host() const noexcept { return number_ < 0; }
  [[nodiscard]] constexpr bool is_device() const noexcept { return number_ >= 0; }
  // The device's number. Meaningless for the host.
  [[nodiscard]] constexpr int number() const noexcept { return number_; }

  friend constexpr bool operator==(Location, Location) noexcept = default;

 private:
  static constexpr int largest = std::numeric_limits<std::int16_t>::max();

  explicit constexpr Location(int number) noexcept : number_(static_cast<std::int16_t>(number)) {}
  std::int16_t number_;
};

// "host" or "device 3".
[[nodiscard]] SLUICE_EXPORT std::string to_string(Location location);

// A set of locations, held by value: one bit a device and one for the host. Devices of numbers that
// no space has are in no set.
class LocationSet {
 public:
  constexpr LocationSet() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a location is a set of one
  constexpr LocationSet(Location location) noexcept { insert(location); }

  constexpr void insert(Location location) noexcept {
    if (location.is_host())
      host_ = true;
    else
      devices_ |= bit(location);
  }
  constexpr void erase(Location location) noexcept {
    if (location.is_host())
      host_ = false;
    else
      devices_ &= ~bit(location);
  }
  [[nodiscard]] constexpr bool contains(Location location) const noexcept {
    return location.is_host() ? host_ : (devices_ & bit(location)) != 0;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return !host_ && devices_ == 0; }
  [[nodiscard]] constexpr int size() const noexcept {
    return std::popcount(devices_) + (host_ ? 1 : 0);
  }
  [[nodiscard]] constexpr bool has_host() const noexcept { return host_; }
  [[nodiscard]] constexpr std::uint64_t devices() const noexcept { return devices_; }

  friend constexpr bool operator==(const LocationSet&, const LocationSet&) noexcept = default;

 private:
  static constexpr std::uint64_t bit(Location location) noexcept {
    return location.number() < max_devices ? std::uint64_t{1} << location.number() : 0;
  }
  std::uint64_t devices_ = 0;
  bool host_ = false;
};

}  // namespace sluice
