// When a ring of a software GPU hangs, on a clock of the test's own.
#include <gtest/gtest.h>

#include "device/soft/standstill.hpp"

namespace sluice::device::soft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Progress = Standstill::Progress;

const Standstill::TimePoint begin = Standstill::TimePoint{} + std::chrono::hours(1);
constexpr seconds limit{8};

TEST(Standstill, is_a_hang_after_the_limit) {
  Standstill ring(begin);
  for (int second = 1; second < 8; ++second)
    EXPECT_FALSE(ring.is_seen({}, false, limit, begin + seconds(second))) << second;
  EXPECT_TRUE(ring.is_seen({}, false, limit, begin + limit));
}

// A command may be there already at the first look.
TEST(Standstill, counts_from_the_start_of_the_device) {
  Standstill ring(begin);
  for (int look = 1; look < 100; ++look)
    EXPECT_FALSE(ring.is_seen({}, false, limit, begin + milliseconds(look))) << look;
}

TEST(Standstill, ends_with_every_step_forward) {
  Standstill ring(begin);
  for (std::uint64_t second = 1; second < 60; ++second)
    EXPECT_FALSE(ring.is_seen({0, 1, second / 7}, false, limit, begin + seconds(second))) << second;
}

TEST(Standstill, of_a_ring_that_may_stand_is_none) {
  Standstill ring(begin);
  for (int second = 1; second < 60; ++second)
    EXPECT_FALSE(ring.is_seen({}, true, limit, begin + seconds(second))) << second;
  EXPECT_FALSE(ring.is_seen({}, false, limit, begin + seconds(60)));
}

// After a machine has slept, its first looks may follow one another at once.
TEST(Standstill, of_the_machine_is_no_hang_of_the_ring) {
  Standstill ring(begin);
  EXPECT_FALSE(ring.is_seen({}, false, limit, begin + seconds(2)));
  const auto awake = begin + std::chrono::hours(5);
  for (int look = 0; look < 100; ++look)
    EXPECT_FALSE(ring.is_seen({}, false, limit, awake + milliseconds(look))) << look;
  EXPECT_TRUE(ring.is_seen({}, false, limit, awake + seconds(2)));
}

}  // namespace
}  // namespace sluice::device::soft
