// Range: one allocation of managed memory, owned. Buffer<T>: the same, as an array of T.
//
// The pointer is valid on the host and, with the same value, on every device; for Kind::device only
// on its device, and the host copies in and out with Space::copy(). Bytes never written read as
// zeros and cost nothing.
//
// Both are move-only and keep their space open. const members may be called from several threads at
// once; moving, freeing and releasing need exclusive use of the object.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "sluice/export.hpp"
#include "sluice/kind.hpp"
#include "sluice/result.hpp"

namespace sluice {

namespace engine {
class Engine;
}

class SLUICE_EXPORT Range {
 public:
  Range() noexcept = default;  // owns nothing: data() is null, size() is 0
  Range(Range&& other) noexcept;
  Range& operator=(Range&& other) noexcept;  // frees what was owned before
  // Unmaps the range, waits for kernels that use it, then frees it. Use free() to learn of
  // failures.
  ~Range();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  // Bytes, as asked for.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }

  // Frees now, after waiting for kernels that use the range. On an error the range is still owned.
  //   busy  leased or mapped
  [[nodiscard]] Result<void> free();
  // Frees now or not at all.
  //   busy  leased or mapped, or a kernel uses it
  [[nodiscard]] Result<void> free_if_idle();
  // Unmaps it wherever it is mapped, then frees it as free() does.
  //   busy  leased
  [[nodiscard]] Result<void> unmap_and_free();
  // Gives up ownership: free it later with Space::free(). A released range does not keep the space
  // open.
  [[nodiscard]] std::byte* release() noexcept;

 private:
  friend struct Inside;

  std::shared_ptr<engine::Engine> engine_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Kind kind_ = Kind::shared;
};

// T may be any trivially copyable type, because devices and migrations copy bytes. Elements start
// as zero bytes.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>,
                "a buffer's elements move between memories byte by byte");

 public:
  using value_type = T;

  Buffer() noexcept = default;
  // Takes over a range; bytes at its end that do not fill a whole T are unused.
  explicit Buffer(Range range) noexcept : range_(std::move(range)) {}

  // The host may dereference these unless the kind is Kind::device.
  [[nodiscard]] T* data() const noexcept { return reinterpret_cast<T*>(range_.data()); }
  [[nodiscard]] T* begin() const noexcept { return data(); }
  [[nodiscard]] T* end() const noexcept { return data() + size(); }
  [[nodiscard]] T& operator[](std::size_t index) const noexcept { return data()[index]; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data(), size()}; }

  // Elements.
  [[nodiscard]] std::size_t size() const noexcept { return range_.size() / sizeof(T); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  explicit operator bool() const noexcept { return static_cast<bool>(range_); }

  [[nodiscard]] const Range& range() const noexcept { return range_; }
  [[nodiscard]] Result<void> free() { return range_.free(); }
  [[nodiscard]] Result<void> free_if_idle() { return range_.free_if_idle(); }
  // Gives up ownership, as Range::release().
  [[nodiscard]] T* release() noexcept { return reinterpret_cast<T*>(range_.release()); }

 private:
  Range range_;
};

}  // namespace sluice
