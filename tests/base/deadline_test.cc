// Timeouts at the edges of their types: none may become a moment in the past.
#include "base/deadline.hpp"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include <limits>
#include <ratio>

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = Deadline::Clock;

TEST(Deadline, the_largest_timeout_of_any_unit_is_no_limit) {
  EXPECT_TRUE(Deadline::after(nanoseconds::max()).is_none());
  EXPECT_TRUE(Deadline::after(milliseconds::max()).is_none());
  EXPECT_TRUE(Deadline::after(hours::max()).is_none());
  EXPECT_TRUE(Deadline::after(std::chrono::duration<double>::max()).is_none());
  EXPECT_TRUE(Deadline().is_none());
  EXPECT_EQ(Deadline().poll_timeout(), -1);
  EXPECT_FALSE(Deadline().has_passed());
}

TEST(Deadline, the_smallest_timeout_of_any_unit_has_passed) {
  EXPECT_TRUE(Deadline::after(nanoseconds::min()).has_passed());
  EXPECT_TRUE(Deadline::after(hours::min()).has_passed());
  EXPECT_TRUE(Deadline(Clock::time_point::min()).has_passed());
  EXPECT_EQ(Deadline::after(hours::min()).poll_timeout(), 0);
}

TEST(Deadline, a_limit_beyond_polls_integer_is_not_over) {
  const Deadline deadline = Deadline::after(milliseconds(std::int64_t{1} << 32));
  EXPECT_FALSE(deadline.is_none());
  EXPECT_FALSE(deadline.has_passed());
  EXPECT_EQ(deadline.poll_timeout(), std::numeric_limits<int>::max());
}

TEST(Deadline, a_limit_is_rounded_up) {
  EXPECT_EQ(saturated<milliseconds>(nanoseconds(1)), milliseconds(1));
  EXPECT_EQ(saturated<milliseconds>(nanoseconds::max()), milliseconds(9'223'372'036'855));
  EXPECT_GE(Deadline::after(std::chrono::seconds(5)).poll_timeout(), 1);
}

TEST(Deadline, bounded_timeouts_may_be_computed_with) {
  EXPECT_EQ(bounded(milliseconds(7)), milliseconds(7));
  EXPECT_EQ(bounded(milliseconds::max()), longest_timeout);
  constexpr nanoseconds product =
      29 * nanoseconds(longest_timeout);  // an overflow does not compile
  EXPECT_GT(product, nanoseconds::zero());
}

RC_GTEST_PROP(Deadline, is_monotonous_in_its_timeout, (std::int64_t one, std::int64_t other)) {
  const Clock::time_point begin = Clock::now();
  const Deadline sooner = Deadline::from(begin, milliseconds(std::min(one, other)));
  const Deadline later = Deadline::from(begin, milliseconds(std::max(one, other)));
  RC_ASSERT(sooner.time() >= begin);
  RC_ASSERT(sooner.time() <= later.time());
}

}  // namespace
}  // namespace sluice
