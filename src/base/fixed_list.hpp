// FixedList: up to N values in place. It never allocates, and only its elements cost anything.
//
// Plans and batches of commands live on the stacks of threads that answer access faults. As arrays
// they would be set to zero and copied whole, 7 KiB for a plan of one step: that was a third of the
// engine's time for an access.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

namespace sluice {

template <typename T, std::size_t N>
class FixedList {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::size_t capacity = N;

  // Not defaulted: that would let `FixedList{}` set the bytes to zero.
  FixedList() noexcept {}  // NOLINT(modernize-use-equals-default)
  FixedList(const FixedList& other) noexcept { assign(other); }
  FixedList& operator=(const FixedList& other) noexcept {
    if (this != &other) assign(other);
    return *this;
  }
  ~FixedList() = default;

  void add(const T& value) noexcept {
    assert(count_ < N);
    ::new (bytes_ + count_++ * sizeof(T)) T(value);
  }
  void clear() noexcept { count_ = 0; }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] bool full() const noexcept { return count_ == N; }
  [[nodiscard]] std::span<T> values() noexcept { return {reinterpret_cast<T*>(bytes_), count_}; }
  [[nodiscard]] std::span<const T> values() const noexcept {
    return {reinterpret_cast<const T*>(bytes_), count_};
  }
  [[nodiscard]] T& back() noexcept { return values().back(); }

 private:
  void assign(const FixedList& other) noexcept {
    std::memcpy(bytes_, other.bytes_, other.count_ * sizeof(T));
    count_ = other.count_;
  }

  std::size_t count_ = 0;
  alignas(T) std::byte bytes_[N * sizeof(T)];
};

}  // namespace sluice
