// TouchStreak: how far ahead of a thread that touches small ranges in order is answered.
#include "engine/first_touches.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace sluice::engine {
namespace {

constexpr Address start{std::uint64_t{1} << 40};

AddressSpan cells(std::size_t first, std::size_t count = 1) {
  return {start + first * cell_size, count * cell_size};
}

TEST(TouchStreak, grows_while_touches_come_in_order) {
  TouchStreak streak;
  std::vector<std::uint32_t> ahead;
  std::size_t next = 0;
  for (int i = 0; i < 9; ++i) {
    ahead.push_back(streak.note(cells(next)));
    next += 1 + ahead.back();
  }
  EXPECT_EQ(ahead, (std::vector<std::uint32_t>{0, 0, 0, 2, 4, 8, 16, 16, 16}));
}

TEST(TouchStreak, goes_on_where_some_of_the_cells_ahead_could_not_be_given) {
  TouchStreak streak;
  for (std::size_t i = 0; i < 4; ++i) (void)streak.note(cells(i));
  EXPECT_EQ(streak.note(cells(4)), 4U);
  EXPECT_EQ(streak.note(cells(7)), 8U);
}

TEST(TouchStreak, follows_ranges_of_several_cells) {
  TouchStreak streak;
  std::uint32_t ahead = 0;
  for (std::size_t i = 0; i < 4; ++i) ahead = streak.note(cells(3 * i, 3));
  EXPECT_EQ(ahead, 2U);
}

TEST(TouchStreak, ends_with_a_touch_elsewhere) {
  TouchStreak streak;
  for (std::size_t i = 0; i < 6; ++i) (void)streak.note(cells(2 * i));
  EXPECT_EQ(streak.note(cells(100)), 0U) << "every second one is no order";
  for (std::size_t i = 0; i < 3; ++i) (void)streak.note(cells(200 + i));
  EXPECT_EQ(streak.note(cells(203)), 2U);
  EXPECT_EQ(streak.note(cells(50)), 0U);
  EXPECT_EQ(streak.note(cells(204)), 0U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(streak.note(cells(40 - i)), 0U) << "backward";
}

}  // namespace
}  // namespace sluice::engine
