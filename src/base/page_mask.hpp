// PageMask: one bit for each page of a block. The directory and plans work with these.
//
// Eight words, no allocation, every operation a few instructions: masks are computed on
// fault-handler threads.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/types.hpp"

namespace sluice {

class PageMask {
 public:
  constexpr PageMask() noexcept = default;
  constexpr explicit PageMask(PageSpan span) noexcept { insert(span); }
  static constexpr PageMask all() noexcept { return PageMask(PageSpan{0, pages_per_block}); }

  constexpr void insert(PageSpan span) noexcept {
    for_words(span, [this](std::size_t word, std::uint64_t bits) { words_[word] |= bits; });
  }
  constexpr void erase(PageSpan span) noexcept {
    for_words(span, [this](std::size_t word, std::uint64_t bits) { words_[word] &= ~bits; });
  }
  constexpr void clear() noexcept { words_ = {}; }

  [[nodiscard]] constexpr bool contains(std::uint32_t page) const noexcept {
    return (words_[page / 64] >> (page % 64) & 1) != 0;
  }
  [[nodiscard]] constexpr bool contains(const PageMask& other) const noexcept {
    return (other - *this).empty();
  }
  [[nodiscard]] constexpr bool intersects(const PageMask& other) const noexcept {
    return !(*this & other).empty();
  }
  [[nodiscard]] constexpr bool empty() const noexcept {
    std::uint64_t any = 0;
    for (std::uint64_t word : words_) any |= word;
    return any == 0;
  }
  [[nodiscard]] constexpr std::uint32_t count() const noexcept {
    int total = 0;
    for (std::uint64_t word : words_) total += std::popcount(word);
    return static_cast<std::uint32_t>(total);
  }

  // The first run of set pages at or after `from`; a count of zero when there is none.
  [[nodiscard]] constexpr PageSpan next_run(std::uint32_t from) const noexcept {
    const std::uint32_t first = find(from, false);
    if (first >= pages_per_block) return {pages_per_block, 0};
    return {first, find(first, true) - first};
  }
  // From the first to the last set page; a count of zero when there is none.
  [[nodiscard]] constexpr PageSpan hull() const noexcept {
    const std::uint32_t first = find(0, false);
    if (first >= pages_per_block) return {pages_per_block, 0};
    std::size_t word = words_.size();
    while (words_[word - 1] == 0) --word;
    const auto end = word * 64 - static_cast<std::size_t>(std::countl_zero(words_[word - 1]));
    return {first, static_cast<std::uint32_t>(end) - first};
  }
  // Calls `visit(PageSpan)` for each maximal run of set pages, in order.
  template <typename Visitor>
  constexpr void for_each_run(Visitor&& visit) const {
    for (PageSpan run = next_run(0); run.count != 0; run = next_run(run.end())) visit(run);
  }
  [[nodiscard]] constexpr std::uint32_t run_count() const noexcept {
    std::uint32_t runs = 0;
    for_each_run([&runs](PageSpan) { ++runs; });
    return runs;
  }

  // The pages below `extent` that share a granule of `granule` pages with any of these.
  [[nodiscard]] constexpr PageMask widened(std::uint32_t granule,
                                           std::uint32_t extent) const noexcept {
    PageMask wide;
    for_each_run([&](PageSpan run) {
      const std::uint32_t first = run.first / granule * granule;
      const std::uint32_t end = (run.end() + granule - 1) / granule * granule;
      wide.insert({first, (end < extent ? end : extent) - first});
    });
    return wide;
  }

  constexpr PageMask& operator|=(const PageMask& other) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }
  constexpr PageMask& operator&=(const PageMask& other) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
    return *this;
  }
  constexpr PageMask& operator-=(const PageMask& other) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
    return *this;
  }
  friend constexpr PageMask operator|(PageMask a, const PageMask& b) noexcept { return a |= b; }
  friend constexpr PageMask operator&(PageMask a, const PageMask& b) noexcept { return a &= b; }
  friend constexpr PageMask operator-(PageMask a, const PageMask& b) noexcept { return a -= b; }
  friend constexpr bool operator==(const PageMask&, const PageMask&) noexcept = default;

 private:
  template <typename Visitor>
  static constexpr void for_words(PageSpan span, Visitor&& visit) {
    for (std::uint32_t at = span.first; at < span.end();) {
      const std::uint32_t bit = at % 64;
      const std::uint32_t width = span.end() - at < 64 - bit ? span.end() - at : 64 - bit;
      const std::uint64_t ones = width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
      visit(at / 64, ones << bit);
      at += width;
    }
  }
  // The first set page at or after `from` (or, if `inverted`, the first clear one).
  [[nodiscard]] constexpr std::uint32_t find(std::uint32_t from, bool inverted) const noexcept {
    for (std::uint32_t at = from; at < pages_per_block; at = (at / 64 + 1) * 64) {
      const std::uint64_t word = inverted ? ~words_[at / 64] : words_[at / 64];
      const std::uint64_t rest = word >> (at % 64);
      if (rest != 0) return at + static_cast<std::uint32_t>(std::countr_zero(rest));
    }
    return pages_per_block;
  }

  std::array<std::uint64_t, pages_per_block / 64> words_{};
};

}  // namespace sluice
