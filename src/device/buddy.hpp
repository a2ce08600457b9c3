// Buddy: divides a device's memory into allocations of 4 KiB to 2 MiB.
//
// An allocation has any number of pages up to a block: the next power of two is cut out and the
// rest returned at once, so nothing is wasted and in_use() is exact. An allocation lies inside one
// 2 MiB stretch, aligned to the power of two above its size. The lowest fitting place is taken,
// which keeps large stretches free.
//
// Cost: about 50 ns a call, 2.3 bits of host memory for a page of device memory. Everything is
// allocated at construction. Not thread-safe. Never touches the memory that it divides.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.hpp"

namespace sluice::device {

// A set of numbers below a fixed limit, with the smallest one at hand: a bitmap under summaries of
// 64 to 1.
class NumberSet {
 public:
  explicit NumberSet(std::size_t limit);

  void insert(std::size_t number) noexcept;
  void erase(std::size_t number) noexcept;
  [[nodiscard]] bool contains(std::size_t number) const noexcept;
  [[nodiscard]] std::optional<std::size_t> smallest() const noexcept;

 private:
  std::vector<std::vector<std::uint64_t>>
      levels_;  // levels_[0] has a bit a number; levels_.back() is one word
};

class Buddy {
 public:
  // `memory_size` is a multiple of the page size.
  explicit Buddy(std::size_t memory_size);

  // The offset of a free allocation of `size` bytes (a multiple of the page size, 1 page to a
  // block); nothing when none is free.
  [[nodiscard]] std::optional<std::size_t> allocate(std::size_t size) noexcept;
  // Takes the block that begins at `offset`, if all of it is free.
  [[nodiscard]] bool take_block(std::size_t offset) noexcept;
  // Frees a live allocation. `size` is the size that it was allocated with.
  void release(std::size_t offset, std::size_t size) noexcept;
  // True if a live allocation begins at `offset`.
  [[nodiscard]] bool is_allocated(std::size_t offset) const noexcept;

  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }

 private:
  static constexpr unsigned orders = 10;  // 1 to 512 pages
  static_assert(page_size << (orders - 1) == block_size);

  void give(std::size_t page, std::size_t pages) noexcept;
  void give_one(std::size_t number, unsigned order) noexcept;

  std::vector<NumberSet> free_;  // free_[order] holds page number >> order
  std::vector<bool> heads_;      // the first page of each live allocation
  std::size_t in_use_ = 0;
};

}  // namespace sluice::device
