// By which means a launch gets at a block, and how much one host access brings over.
#include <ostream>
#include <vector>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/planner.hpp"

namespace sluice::plan {

bool operator==(const Window& a, const Window& b) { return a.span == b.span && a.ahead == b.ahead; }
// gtest looks for this name.
void PrintTo(const Window& window, std::ostream* os) {
  *os << window.span.first << "+" << window.span.count << " ahead " << window.ahead;
}

namespace {

using directory::BlockDirectory;
constexpr auto whole = static_cast<std::uint32_t>(pages_per_block);

// A reader that touches page after page of a range and faults wherever the last window ended.
TEST(ChooseWindow, grows_to_a_block_and_then_looks_ahead) {
  Streak streak;
  std::vector<Window> windows;
  for (std::uint32_t at = 0; windows.size() < 12;) {
    const Window window = choose_window(streak, at / whole, at % whole, whole);
    windows.push_back(window);
    at = at / whole * whole + window.span.end() + window.ahead * whole;
    EXPECT_EQ(streak.next_page, at);
  }
  const std::vector<Window> expected{{{0, 1}, 0},    {{1, 16}, 0},    {{17, 64}, 0},
                                     {{81, 256}, 0}, {{337, 175}, 0}, {{0, 512}, 1},
                                     {{0, 512}, 3},  {{0, 512}, 7},   {{0, 512}, 15},
                                     {{0, 512}, 31}, {{0, 512}, 32},  {{0, 512}, 32}};
  EXPECT_EQ(windows, expected);
}

TEST(ChooseWindow, grows_faster_where_the_memory_is_there) {
  Streak streak;
  constexpr WindowRule rule{.growth = growth_in_memory};
  EXPECT_EQ(choose_window(streak, 0, 0, whole, rule), (Window{{0, 1}, 0}));
  EXPECT_EQ(choose_window(streak, 0, 1, whole, rule), (Window{{1, 32}, 0}));
  EXPECT_EQ(choose_window(streak, 0, 33, whole, rule), (Window{{33, 479}, 0}));
  EXPECT_EQ(choose_window(streak, 1, 0, whole), (Window{{0, 512}, 1}));
}

// Nothing comes ahead of it in time; that must not keep the window small.
TEST(ChooseWindow, a_reader_as_fast_as_what_is_fetched_ahead_of_it_goes_on) {
  Streak streak{.next_page = whole, .window = 256};
  std::vector<std::uint32_t> ahead;
  for (std::uint32_t block = 1; block < 8; ++block) {
    const Window window = choose_window(streak, block, 0, whole);
    EXPECT_EQ(choose_window(streak, block, 0, whole), (Window{{0, 512}, window.ahead}))
        << "the same block again";
    ahead.push_back(window.ahead);
  }
  EXPECT_EQ(ahead, (std::vector<std::uint32_t>{0, 1, 3, 7, 15, 31, 32}));
}

TEST(ChooseWindow, goes_by_whole_blocks_on_huge_pages) {
  Streak streak;
  EXPECT_EQ(choose_window(streak, 0, 0, whole, {.least = whole}), (Window{{0, 512}, 0}));
  EXPECT_EQ(choose_window(streak, 1, 0, whole, {.least = whole}), (Window{{0, 512}, 1}));
  EXPECT_EQ(choose_window(streak, 3, 0, whole, {.least = whole}), (Window{{0, 512}, 3}));
}

TEST(ChooseWindow, begins_with_the_page_or_with_the_64_KiB_around_it) {
  Streak streak;
  EXPECT_EQ(choose_window(streak, 3, 77, whole), (Window{{77, 1}, 0}));
  EXPECT_EQ(streak.next_page, 3 * whole + 78);
  EXPECT_EQ(choose_window(streak, 9, 77, whole, {.least = reading_window}), (Window{{64, 16}, 0}));
}

TEST(ChooseWindow, a_jump_begins_again_and_so_does_going_backward) {
  Streak streak{.next_page = 1000, .window = 256};
  EXPECT_EQ(choose_window(streak, 40, 0, whole).span.count, smallest_window);
  EXPECT_EQ(choose_window(streak, 39, 500, whole).span.count, smallest_window);
  EXPECT_EQ(choose_window(streak, 39, 495, whole).span.count, smallest_window);
  EXPECT_EQ(choose_window(streak, 39, 479, whole).span.count, smallest_window);
}

TEST(ChooseWindow, a_reader_that_skips_less_than_a_window_goes_on) {
  Streak streak{.next_page = 64, .window = 32};
  EXPECT_EQ(choose_window(streak, 0, 95, whole), (Window{{95, 128}, 0}));
  streak = {.next_page = 64, .window = 32};
  EXPECT_EQ(choose_window(streak, 0, 96, whole), (Window{{96, 1}, 0}));
}

// A loop that reads and then writes faults twice at each window; the second time must not end the
// streak.
TEST(ChooseWindow, the_same_pages_again_keep_the_window) {
  Streak streak;
  (void)choose_window(streak, 0, 0, whole);
  const Window read = choose_window(streak, 0, 1, whole);
  EXPECT_EQ(choose_window(streak, 0, 1, whole), read);
  EXPECT_EQ(choose_window(streak, 0, 17, whole), (Window{{17, 64}, 0}));
}

RC_GTEST_PROP(ChooseWindow, contains_the_page_and_stays_inside_the_block, ()) {
  const auto extent = *rc::gen::inRange<std::uint32_t>(1, whole + 1);
  Streak streak{*rc::gen::inRange<std::uint32_t>(0, 6000),
                *rc::gen::inRange<std::uint32_t>(0, 4609)};
  const auto page = *rc::gen::inRange<std::uint32_t>(0, extent);
  const Window window =
      choose_window(streak, *rc::gen::inRange<std::uint32_t>(0, 12), page, extent);
  RC_ASSERT(window.span.first <= page);
  RC_ASSERT(window.span.end() > page);
  RC_ASSERT(window.span.end() <= extent);
  RC_ASSERT(window.span.first % smallest_window == 0u);
  RC_ASSERT(window.ahead <= blocks_ahead);
}

TEST(Density, expects_all_when_most_blocks_were_asked_for_and_stops_when_few_are) {
  Density density;
  const auto times_expected = [&] {
    int times = 0;
    for (int i = 0; i < 80; ++i) times += density.expects_all() ? 1 : 0;
    return times;
  };
  EXPECT_EQ(times_expected(), 0);
  for (int i = 0; i < 7; ++i) density.note(true);
  EXPECT_EQ(times_expected(), 0) << "too few to tell";
  density.note(true);
  EXPECT_EQ(times_expected(), 70) << "but for one in eight";
  for (int i = 0; i < 1000; ++i) density.note(true);
  for (int i = 0; i < 5; ++i) density.note(false);
  EXPECT_EQ(times_expected(), 0) << "a long past does not outweigh the present";
}

TEST(Density, is_not_deceived_by_every_second_block) {
  Density density;
  for (int i = 0; i < 100; ++i) density.note(i % 2 == 0);
  EXPECT_FALSE(density.expects_all());
}

class ChooseMeans : public testing::Test {
 protected:
  ChooseMeans() {
    block.admit(0);
    on_host.publish(Location::host(), on_host.every_page());
  }
  static Attributes prefer(Location location) {
    return {.preferred = location, .accessed_by = Location::device(0), .read_mostly = false};
  }
  static Attributes accessed(bool read_mostly = false) {
    return {.preferred = {}, .accessed_by = Location::device(0), .read_mostly = read_mostly};
  }
  BlockDirectory block{8};
  BlockDirectory on_host{8};
};

TEST_F(ChooseMeans, migrates_without_advice) {
  EXPECT_EQ(choose_means(on_host, 0, {}, true), Means::own);
  EXPECT_EQ(choose_means(on_host, 1, accessed(), true), Means::own);
}

TEST_F(ChooseMeans, maps_what_prefers_the_host) {
  EXPECT_EQ(choose_means(block, 0, prefer(Location::host()), true), Means::host_mapped);
  EXPECT_EQ(choose_means(block, 0, prefer(Location::host()), false), Means::own) << "it cannot";
}

TEST_F(ChooseMeans, accessed_by_maps_what_is_on_the_host_already) {
  EXPECT_EQ(choose_means(on_host, 0, accessed(), true), Means::host_mapped);
  EXPECT_EQ(choose_means(block, 0, accessed(), true), Means::own) << "it is nowhere yet";
  block.publish(Location::host(), PageMask(PageSpan{0, 1}));
  block.publish(Location::device(0), PageMask(PageSpan{1, 1}));
  EXPECT_EQ(choose_means(block, 0, accessed(), true), Means::own);
}

TEST_F(ChooseMeans, other_advice_that_outweighs_accessed_by) {
  EXPECT_EQ(choose_means(on_host, 0, prefer(Location::device(0)), true), Means::own);
  EXPECT_EQ(choose_means(on_host, 0, prefer(Location::device(1)), true), Means::host_mapped);
  EXPECT_EQ(choose_means(on_host, 0, accessed(true), true), Means::own);
}

}  // namespace
}  // namespace sluice::plan
