// The buddy allocator against a model: a map from pages to allocations.
#include "device/buddy.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace sluice::device {
namespace {

class Model {
 public:
  explicit Model(std::size_t pages) : owner_(pages, 0) {}

  // Whether some aligned free place of that size inside a block exists: then a buddy system must
  // find one, because it joins everything that it can.
  [[nodiscard]] bool fits(std::size_t pages) const {
    std::size_t room = 1;
    while (room < pages) room *= 2;
    for (std::size_t begin = 0; begin + room <= owner_.size(); begin += room) {
      if (free(begin, room)) return true;
    }
    return false;
  }
  [[nodiscard]] bool free(std::size_t begin, std::size_t pages) const {
    for (std::size_t page = begin; page < begin + pages; ++page) {
      if (owner_[page] != 0) return false;
    }
    return true;
  }
  void set(std::size_t begin, std::size_t pages, int owner) {
    for (std::size_t page = begin; page < begin + pages; ++page) owner_[page] = owner;
  }

 private:
  std::vector<int> owner_;
};

RC_GTEST_PROP(BuddyProperty, behaves_like_a_map, ()) {
  const auto memory_pages = *rc::gen::inRange<std::size_t>(1, 3 * pages_per_block);
  Buddy buddy(memory_pages * page_size);
  Model model(memory_pages);
  std::map<std::size_t, std::size_t> live;  // first page -> pages
  std::size_t in_use = 0;
  const auto steps = *rc::gen::inRange(1, 200);
  for (int step = 0; step < steps; ++step) {
    if (live.empty() || *rc::gen::inRange(0, 3) != 0) {
      const auto small = *rc::gen::inRange(0, 2);
      const auto pages = *rc::gen::inRange<std::size_t>(1, small != 0 ? 9 : pages_per_block + 1);
      const auto offset = buddy.allocate(pages * page_size);
      RC_ASSERT(offset.has_value() == model.fits(pages));
      if (!offset) continue;
      const std::size_t page = *offset / page_size;
      RC_ASSERT(*offset % page_size == 0U);
      RC_ASSERT(page + pages <= memory_pages);
      RC_ASSERT(model.free(page, pages));
      RC_ASSERT(page / pages_per_block == (page + pages - 1) / pages_per_block);
      model.set(page, pages, 1);
      live[page] = pages;
      in_use += pages * page_size;
      RC_ASSERT(buddy.is_allocated(*offset));
    } else {
      auto victim = std::next(live.begin(), *rc::gen::inRange<std::ptrdiff_t>(
                                                0, static_cast<std::ptrdiff_t>(live.size())));
      buddy.release(victim->first * page_size, victim->second * page_size);
      RC_ASSERT(!buddy.is_allocated(victim->first * page_size));
      model.set(victim->first, victim->second, 0);
      in_use -= victim->second * page_size;
      live.erase(victim);
    }
    RC_ASSERT(buddy.in_use() == in_use);
  }
}

TEST(Buddy, a_block_is_taken_where_it_lies_if_all_of_it_is_free) {
  Buddy buddy(3 * block_size + page_size);
  EXPECT_FALSE(buddy.take_block(3 * block_size));
  EXPECT_EQ(buddy.allocate(page_size), 3 * block_size);
  EXPECT_TRUE(buddy.take_block(block_size));
  EXPECT_TRUE(buddy.is_allocated(block_size));
  EXPECT_EQ(buddy.in_use(), block_size + page_size);
  EXPECT_FALSE(buddy.take_block(block_size));
  EXPECT_EQ(buddy.allocate(page_size), 0U);
  EXPECT_FALSE(buddy.take_block(0));
  EXPECT_EQ(buddy.allocate(block_size), 2 * block_size);
  buddy.release(0, page_size);
  EXPECT_TRUE(buddy.take_block(0));
  buddy.release(block_size, block_size);
  EXPECT_EQ(buddy.allocate(block_size), block_size);
}

TEST(Buddy, everything_comes_back) {
  Buddy buddy(8 * block_size);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::size_t> pages;
    while (const auto offset = buddy.allocate(page_size)) pages.push_back(*offset);
    EXPECT_EQ(pages.size(), 8 * pages_per_block);
    EXPECT_EQ(buddy.in_use(), 8 * block_size);
    for (const std::size_t offset : pages) buddy.release(offset, page_size);
    std::vector<std::size_t> blocks;
    while (const auto offset = buddy.allocate(block_size)) blocks.push_back(*offset);
    EXPECT_EQ(blocks.size(), 8U);
    for (const std::size_t offset : blocks) buddy.release(offset, block_size);
  }
}

TEST(Buddy, odd_sizes_waste_nothing) {
  Buddy buddy(block_size);
  ASSERT_TRUE(buddy.allocate(511 * page_size));
  EXPECT_TRUE(buddy.allocate(page_size));
  EXPECT_FALSE(buddy.allocate(page_size));
}

}  // namespace
}  // namespace sluice::device
