// Contiguous: containers that can be named as memory, or moved, by their bytes.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>

namespace sluice {

// Elements that data() and size() describe, one beside the other: Range, Buffer, std::span,
// std::vector, std::array, ... The elements are trivially copyable, because locations exchange
// their bytes alone: a std::vector<std::string> would arrive without its texts. Not a
// std::vector<bool>, which has no elements, nor a container with data() that its iterators do not
// follow.
template <typename T>
concept Contiguous = requires(T& container) {
  requires std::is_pointer_v<decltype(std::data(container))>;
  requires std::is_trivially_copyable_v<std::remove_pointer_t<decltype(std::data(container))>>;
  requires std::is_convertible_v<decltype(std::size(container)), std::size_t>;
} && (!requires(T& container) { std::begin(container); } || requires(T& container) {
  requires std::contiguous_iterator<decltype(std::begin(container))>;
});

// The bytes of its elements.
template <Contiguous T>
[[nodiscard]] constexpr std::size_t size_in_bytes(const T& container) noexcept {
  return std::size(container) * sizeof(*std::data(container));
}

}  // namespace sluice
