// Structures of any version, and lists, as callers of the C face pass them (conventions 3 and 7 of
// sluice.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/result.hpp"

namespace sluice::c {

// As Linux has it for its own structures: none is larger, so a larger size was never set.
inline constexpr std::size_t largest_structure = 4096;

// A member without a meaning yet: a later version may give it one, and must be able to trust it.
[[nodiscard]] inline Result<void> check_reserved(std::int32_t value, const char* what) noexcept {
  if (value == 0) return {};
  return fail(ErrorCode::invalid_argument, "%s: `reserved` is %d, and must be 0", what, value);
}

// The size that a structure's first member tells, read before the call so that nothing happens if
// it makes no sense.
template <typename T>
[[nodiscard]] Result<std::size_t> size_of_structure(const T* structure, const char* what) noexcept {
  if (structure == nullptr) return fail(ErrorCode::invalid_argument, "%s: a null pointer", what);
  std::size_t size = 0;
  std::memcpy(&size, structure, sizeof size);
  if (size < sizeof size || size > largest_structure)
    return fail(ErrorCode::invalid_argument, "%s: its size field says %zu", what, size);
  return size;
}

// Copies in a structure that the caller may have built for an older or a newer header (convention
// 3).
template <typename T>
[[nodiscard]] Result<T> read_versioned(const T* from, const char* what) noexcept {
  SLUICE_ASSIGN(size, size_of_structure(from, what));
  T known{};
  std::memcpy(&known, from, std::min(size, sizeof known));
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (std::size_t i = sizeof known; i < size; ++i) {
    if (bytes[i] != 0) {
      return fail(ErrorCode::invalid_argument,
                  "%s: byte %zu is set, and this library knows %zu bytes", what, i, sizeof known);
    }
  }
  return known;
}

template <typename T>
void write_versioned(T* to, std::size_t size, T value) noexcept {
  value.size = size;
  std::memcpy(to, &value, std::min(size, sizeof value));
}

// A list that a caller passes as a pointer and a count. A count too large for any call is refused
// before the list is read.
inline constexpr std::size_t longest_list = std::size_t{1} << 20;
template <typename T>
[[nodiscard]] Result<std::span<const T>> list(const T* items, std::size_t count, const char* what,
                                              std::size_t most = longest_list) noexcept {
  if (items == nullptr && count != 0)
    return fail(ErrorCode::invalid_argument, "%zu %s at a null pointer", count, what);
  if (count > most)
    return fail(ErrorCode::invalid_argument, "%zu %s: a call takes at most %zu", count, what, most);
  return std::span<const T>(items, count);
}

}  // namespace sluice::c
