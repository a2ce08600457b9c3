// The buddy system of Knuth (TAOCP 1, 2.5) over bitmaps instead of lists: a back end never writes
// into memory that it manages, so there is nowhere to keep links.
#include "device/buddy.hpp"

#include <algorithm>
#include <bit>

namespace sluice::device {

NumberSet::NumberSet(std::size_t limit) {
  do {
    limit = (limit + 63) / 64;
    levels_.emplace_back(limit);
  } while (limit > 1);
}

void NumberSet::insert(std::size_t number) noexcept {
  for (auto& level : levels_) {
    level[number / 64] |= std::uint64_t{1} << (number % 64);
    number /= 64;
  }
}

void NumberSet::erase(std::size_t number) noexcept {
  for (auto& level : levels_) {
    level[number / 64] &= ~(std::uint64_t{1} << (number % 64));
    if (level[number / 64] != 0) return;
    number /= 64;
  }
}

bool NumberSet::contains(std::size_t number) const noexcept {
  const auto& level = levels_.front();
  return number / 64 < level.size() && (level[number / 64] >> (number % 64) & 1) != 0;
}

std::optional<std::size_t> NumberSet::smallest() const noexcept {
  if (levels_.back().empty() || levels_.back().front() == 0) return std::nullopt;
  std::size_t number = 0;
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    number = number * 64 + static_cast<std::size_t>(std::countr_zero((*level)[number]));
  }
  return number;
}

Buddy::Buddy(std::size_t memory_size) : heads_(memory_size / page_size) {
  const std::size_t pages = memory_size / page_size;
  for (unsigned order = 0; order < orders; ++order) free_.emplace_back((pages >> order) + 1);
  for (std::size_t page = 0; page < pages; page += pages_per_block)
    give(page, std::min(pages_per_block, pages - page));
}

std::optional<std::size_t> Buddy::allocate(std::size_t size) noexcept {
  const std::size_t pages = size / page_size;
  const auto wanted = static_cast<unsigned>(std::bit_width(pages - 1));
  for (unsigned order = wanted; order < orders; ++order) {
    const auto number = free_[order].smallest();
    if (!number) continue;
    free_[order].erase(*number);
    const std::size_t page = *number << order;
    give(page + pages, (std::size_t{1} << order) - pages);
    heads_[page] = true;
    in_use_ += size;
    return page * page_size;
  }
  return std::nullopt;
}

bool Buddy::take_block(std::size_t offset) noexcept {
  NumberSet& blocks = free_[orders - 1];
  const std::size_t number = offset / block_size;
  if (!blocks.contains(number)) return false;
  blocks.erase(number);
  heads_[offset / page_size] = true;
  in_use_ += block_size;
  return true;
}

void Buddy::release(std::size_t offset, std::size_t size) noexcept {
  heads_[offset / page_size] = false;
  in_use_ -= size;
  give(offset / page_size, size / page_size);
}

bool Buddy::is_allocated(std::size_t offset) const noexcept {
  return offset % page_size == 0 && offset / page_size < heads_.size() &&
         heads_[offset / page_size];
}

// Gives back pages of one 2 MiB stretch as the aligned powers of two that make them up.
void Buddy::give(std::size_t page, std::size_t pages) noexcept {
  while (pages != 0) {
    const auto aligned = static_cast<unsigned>(std::countr_zero(page | pages_per_block));
    const auto fitting = static_cast<unsigned>(std::bit_width(pages) - 1);
    const unsigned order = std::min(aligned, fitting);
    give_one(page >> order, order);
    page += std::size_t{1} << order;
    pages -= std::size_t{1} << order;
  }
}

void Buddy::give_one(std::size_t number, unsigned order) noexcept {
  for (; order + 1 < orders && free_[order].contains(number ^ 1); number /= 2, ++order)
    free_[order].erase(number ^ 1);
  free_[order].insert(number);
}

}  // namespace sluice::device
