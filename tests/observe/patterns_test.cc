// Bytes that go back and forth, and why.
#include "observe/patterns.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace sluice::observe {
namespace {

constexpr std::uint64_t spots_base = 0x7f00'0000'0000;
constexpr std::uint64_t millisecond = 1'000'000;

class PatternsTest : public testing::Test {
 protected:
  void touch(std::uint64_t address) {
    (void)patterns.note({.kind = EventKind::cpu_fault,
                         .address = address & ~std::uint64_t{4095},
                         .size = 4096,
                         .touched = address});
  }
  void name(int device, std::uint64_t begin, std::uint64_t size) {
    (void)patterns.note({.kind = EventKind::launch_use,
                         .to = Location::device(device),
                         .address = begin,
                         .size = size});
  }
  void move(Location from, Location to, std::uint64_t address, std::uint64_t size,
            std::uint64_t pause = millisecond) {
    time += pause;
    for (const Pattern& pattern : patterns.note({.kind = EventKind::migration,
                                                 .from = from,
                                                 .to = to,
                                                 .time = time,
                                                 .address = address,
                                                 .size = size}))
      found.push_back(pattern);
  }
  void go_there_and_back(int times, std::uint64_t pause = millisecond) {
    for (int i = 0; i < times; ++i) {
      move(Location::host(), Location::device(0), spots_base, Patterns::spot_size, pause);
      move(Location::device(0), Location::host(), spots_base, Patterns::spot_size, pause);
    }
  }

  Patterns patterns;
  std::uint64_t time = 0;
  std::vector<Pattern> found;
};

TEST_F(PatternsTest, bytes_that_both_sides_use_thrash) {
  name(0, spots_base, Patterns::spot_size);
  touch(spots_base + 100);
  go_there_and_back(4);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Pattern::Kind::thrashing);
  EXPECT_EQ(found[0].address, spots_base);
  EXPECT_EQ(found[0].size, Patterns::spot_size);
  EXPECT_EQ(found[0].returns, Patterns::least_returns);
}

TEST_F(PatternsTest, it_is_told_again_at_each_doubling) {
  name(0, spots_base, Patterns::spot_size);
  touch(spots_base);
  go_there_and_back(50);
  ASSERT_EQ(found.size(), 5U);
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(found[i].returns, Patterns::least_returns << i);
}

TEST_F(PatternsTest, bytes_that_go_once_or_rarely_do_not_thrash) {
  name(0, spots_base, Patterns::spot_size);
  go_there_and_back(2);
  time += 2 * Patterns::longest_pause;
  go_there_and_back(20, 2 * Patterns::longest_pause);
  EXPECT_TRUE(found.empty());
}

TEST_F(PatternsTest, bytes_that_pass_one_after_another_do_not_thrash) {
  for (std::uint64_t i = 0; i < 32; ++i) {
    move(Location::host(), Location::device(0), spots_base + i * Patterns::spot_size,
         Patterns::spot_size);
    move(Location::device(0), Location::host(), spots_base + i * Patterns::spot_size,
         Patterns::spot_size);
  }
  EXPECT_TRUE(found.empty());
}

TEST_F(PatternsTest, a_host_that_uses_bytes_beside_those_that_launches_name_shares_falsely) {
  name(0, spots_base + 64, Patterns::spot_size - 64);
  touch(spots_base);
  go_there_and_back(4);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Pattern::Kind::false_sharing);
}

TEST_F(PatternsTest, one_shared_byte_makes_it_no_false_sharing) {
  name(0, spots_base + 64, Patterns::spot_size - 64);
  touch(spots_base);
  touch(spots_base + 64);
  go_there_and_back(4);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Pattern::Kind::thrashing);
}

TEST_F(PatternsTest, copies_that_end_and_come_back_thrash) {
  name(0, spots_base, Patterns::spot_size);
  touch(spots_base);
  for (int i = 0; i < 4; ++i) {
    const auto play = [&](EventKind kind, Location from, Location to) {
      time += millisecond;
      for (const Pattern& pattern : patterns.note({.kind = kind,
                                                   .from = from,
                                                   .to = to,
                                                   .time = time,
                                                   .address = spots_base,
                                                   .size = 4096}))
        found.push_back(pattern);
    };
    play(EventKind::read_duplicate, Location::device(0), Location::host());
    play(EventKind::read_duplicate_invalidate, Location::host(), Location::device(0));
  }
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Pattern::Kind::thrashing);
}

TEST_F(PatternsTest, another_range_at_the_same_addresses_begins_anew) {
  name(0, spots_base, Patterns::spot_size);
  touch(spots_base);
  go_there_and_back(2);
  (void)patterns.note({.kind = EventKind::release, .address = spots_base, .size = 4096});
  go_there_and_back(2);
  EXPECT_TRUE(found.empty());
  name(0, spots_base + 64, Patterns::spot_size - 64);
  touch(spots_base);
  go_there_and_back(4);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Pattern::Kind::false_sharing);
}

TEST_F(PatternsTest, devices_share_falsely_when_their_launches_name_different_bytes) {
  const auto play = [&] {
    for (int i = 0; i < 4; ++i) {
      move(Location::device(0), Location::device(1), spots_base, 2 * Patterns::spot_size);
      move(Location::device(1), Location::device(0), spots_base, 2 * Patterns::spot_size);
    }
  };
  name(0, spots_base, Patterns::spot_size / 2);
  name(1, spots_base + Patterns::spot_size / 2, 2 * Patterns::spot_size);
  name(0, spots_base + Patterns::spot_size, Patterns::spot_size);
  play();
  ASSERT_EQ(found.size(), 2U);  // of the two spots the second is used by both
  EXPECT_EQ(found[0].kind, Pattern::Kind::false_sharing);
  EXPECT_EQ(found[1].kind, Pattern::Kind::thrashing);
}

}  // namespace
}  // namespace sluice::observe
