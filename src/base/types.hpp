// The basic types of the system: addresses, pages, blocks and spans of them.
//
// A managed address is valid in the program and, with the same value, on every device. It is a
// number here and never a pointer: the engine itself must not touch managed memory (it would wait
// for its own fault).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace sluice {

constexpr std::size_t page_size = 4096;
constexpr std::size_t block_size = std::size_t{2} << 20;
constexpr std::size_t pages_per_block = block_size / page_size;

struct Address {
  std::uintptr_t value = 0;

  static Address of(const void* pointer) noexcept {
    return {reinterpret_cast<std::uintptr_t>(pointer)};
  }
  friend constexpr auto operator<=>(Address, Address) noexcept = default;
  friend constexpr Address operator+(Address address, std::size_t bytes) noexcept {
    return {address.value + bytes};
  }
  friend constexpr Address operator-(Address address, std::size_t bytes) noexcept {
    return {address.value - bytes};
  }
  friend constexpr std::size_t operator-(Address end, Address begin) noexcept {
    return end.value - begin.value;
  }
};

// Bytes [begin, begin + size) of managed addresses.
struct AddressSpan {
  Address begin;
  std::size_t size = 0;

  [[nodiscard]] constexpr Address end() const noexcept { return begin + size; }
  [[nodiscard]] constexpr bool contains(Address address) const noexcept {
    return address >= begin && address < end();
  }
  [[nodiscard]] constexpr bool overlaps(const AddressSpan& other) const noexcept {
    return begin < other.end() && other.begin < end();
  }
  friend constexpr bool operator==(const AddressSpan&, const AddressSpan&) noexcept = default;
};

// Pages [first, first + count) of one block.
struct PageSpan {
  std::uint32_t first = 0;
  std::uint32_t count = 0;

  [[nodiscard]] constexpr std::uint32_t end() const noexcept { return first + count; }
  friend constexpr bool operator==(const PageSpan&, const PageSpan&) noexcept = default;
};

constexpr std::size_t round_up(std::size_t value, std::size_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}
constexpr std::size_t round_down(std::size_t value, std::size_t unit) noexcept {
  return value / unit * unit;
}

}  // namespace sluice
