// Arguments of a kernel, one by one: the values of Launch::arguments(y, x, 2.0F) become the
// structure that the kernel expects, with every member at its natural alignment.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>

namespace sluice {

namespace argument_traits {

// Views, which are trivially copyable: a kernel would get the view and not what it shows.
template <typename T>
inline constexpr bool is_view = false;
template <typename T, std::size_t Extent>
inline constexpr bool is_view<std::span<T, Extent>> = true;
template <typename Character, typename Traits>
inline constexpr bool is_view<std::basic_string_view<Character, Traits>> = true;
template <typename T>
inline constexpr bool is_view<std::initializer_list<T>> = true;
template <typename T>
inline constexpr bool is_view<std::reference_wrapper<T>> = true;

template <typename T>
inline constexpr bool is_pointer = std::is_pointer_v<T> || std::is_null_pointer_v<T>;

}  // namespace argument_traits

// One argument: a value that a kernel can take as bytes. Neither an array, of which C would pass a
// pointer, nor a view; pass data() and a size, or wrap the array in a structure.
template <typename T>
concept KernelArgument = std::is_trivially_copyable_v<T> && !std::is_array_v<T> &&
                         !std::is_function_v<T> && !argument_traits::is_view<T>;

// A pointer and an integer of the size of std::size_t, and nothing else. It may mean the bytes of a
// structure, or two arguments, so that neither is assumed.
template <typename... Values>
inline constexpr bool is_pointer_and_size = false;
template <typename Pointer, typename Size>
inline constexpr bool is_pointer_and_size<Pointer, Size> =
    argument_traits::is_pointer<Pointer> && std::integral<Size> &&
    sizeof(Size) == sizeof(std::size_t);

// Two or more arguments, as the members of a structure.
template <KernelArgument... Values>
class ArgumentList {
 public:
  explicit ArgumentList(const Values&... values) noexcept {
    std::size_t at = 0;
    (add(at, values), ...);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::size_t aligned(std::size_t at, std::size_t alignment) noexcept {
    return (at + alignment - 1) / alignment * alignment;
  }
  static constexpr std::size_t size() noexcept {
    std::size_t at = 0;
    ((at = aligned(at, alignof(Values)) + sizeof(Values)), ...);
    return aligned(at, std::max({alignof(Values)...}));
  }
  template <typename Value>
  void add(std::size_t& at, const Value& value) noexcept {
    at = aligned(at, alignof(Value));
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    at += sizeof value;
  }

  std::array<std::byte, size()> bytes_{};  // padding is zero
};

}  // namespace sluice
