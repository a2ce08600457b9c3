// StalledAccess: which faults are of one access, and that an access which needs any pages together
// gets them, whoever takes pages away meanwhile.
#include <algorithm>
#include <set>
#include <vector>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/stalled_access.hpp"

namespace sluice::plan {
namespace {

PageDemand at(std::size_t page, Access access = Access::write) {
  return {Address{page * page_size}, access};
}

TEST(StalledAccess, pages_that_follow_each_other_are_not_kept_together) {
  StalledAccess queue;
  for (std::size_t page = 0; page < 100; ++page) EXPECT_FALSE(queue.ask(at(page)));
  EXPECT_TRUE(queue.together().empty());
}

TEST(StalledAccess, who_comes_back_gets_all_since) {
  StalledAccess queue;
  EXPECT_FALSE(queue.ask(at(7)));
  EXPECT_FALSE(queue.ask(at(1, Access::read)));
  EXPECT_FALSE(queue.ask(at(2)));
  EXPECT_TRUE(queue.ask(at(1, Access::read)));
  EXPECT_EQ(std::vector<PageDemand>(queue.together().begin(), queue.together().end()),
            (std::vector<PageDemand>{at(1, Access::read), at(2)}));
  EXPECT_TRUE(queue.ask(at(3))) << "it has not retired";
  EXPECT_EQ(queue.together().size(), 3u);
  queue.retired();
  EXPECT_FALSE(queue.ask(at(1)));
  EXPECT_TRUE(queue.together().empty());
}

TEST(StalledAccess, a_page_that_was_read_and_is_to_be_written_has_not_come_back) {
  StalledAccess queue;
  EXPECT_FALSE(queue.ask(at(1, Access::read)));
  EXPECT_FALSE(queue.ask(at(1, Access::write)));
  EXPECT_TRUE(queue.ask(at(1, Access::read)));
  EXPECT_EQ(queue.together().size(), 1u);
  EXPECT_EQ(queue.together()[0], at(1, Access::write));
}

TEST(StalledAccess, pages_that_do_not_fit_are_narrowed_to_those_of_one_access) {
  StalledAccess queue;
  EXPECT_FALSE(queue.ask(at(1)));
  EXPECT_FALSE(queue.ask(at(2)));
  EXPECT_TRUE(queue.ask(at(1)));
  EXPECT_TRUE(queue.narrow_to(at(1)));
  ASSERT_EQ(queue.together().size(), 1u);
  EXPECT_EQ(queue.together()[0], at(1));
  EXPECT_TRUE(queue.ask(at(3))) << "the same access asks for it";
  EXPECT_EQ(queue.together().size(), 2u);
  EXPECT_FALSE(queue.narrow_to(at(3))) << "it needs both";
  queue.retired();
  EXPECT_FALSE(queue.ask(at(1)));
  EXPECT_FALSE(queue.ask(at(2)));
  EXPECT_TRUE(queue.ask(at(1)));
  EXPECT_TRUE(queue.narrow_to(at(1))) << "another access";
}

TEST(StalledAccess, ends_that_were_missed_do_not_add_up) {
  StalledAccess queue;
  EXPECT_FALSE(queue.ask(at(0)));
  EXPECT_TRUE(queue.ask(at(0)));
  for (std::size_t page = 1; page < 1000; ++page) {
    (void)queue.ask(at(page));
    ASSERT_LE(queue.together().size(), StalledAccess::most_together);
  }
}

// An instruction faults at the first of its pages that is not there. Pages that were brought are
// taken away at random; those that are kept together are not. With memory for `room` pages the
// oldest leaves for a new one, unless it is kept.
RC_GTEST_PROP(StalledAccess, every_access_retires, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 5);
  const auto room = *rc::gen::inRange<std::size_t>(1, 6);
  StalledAccess queue;
  for (int access = 0; access < 20; ++access) {
    // Any of eight pages, each once.
    const auto first = *rc::gen::inRange<std::size_t>(0, 8);
    const auto stride = *rc::gen::element<std::size_t>(1, 3, 5, 7);
    std::vector<std::size_t> needed;
    for (std::size_t i = 0; i < count; ++i) needed.push_back((first + i * stride) % 8);
    std::vector<std::size_t> there;  // the oldest first
    const auto is_there = [&](std::size_t page) {
      return std::ranges::find(there, page) != there.end();
    };
    const auto others_come = [&] {
      if (*rc::gen::inRange(0, 2) == 0) there.clear();
    };
    for (std::size_t faults = 0;; ++faults) {
      const auto missing = std::ranges::find_if_not(needed, is_there);
      if (missing == needed.end()) break;
      RC_ASSERT(faults <= StalledAccess::remembered + count);
      // It stalls, and until it is answered nothing is kept.
      others_come();
      if (queue.ask(at(*missing))) {
        // What finds no room is used where it is. Nobody takes any of it before the access has
        // retired or stalls again.
        for (const PageDemand& each : queue.together())
          there.push_back(each.page.value / page_size);
        if (!std::ranges::all_of(needed, is_there)) continue;
        queue.retired();
        break;
      }
      there.push_back(*missing);
      if (there.size() > room) there.erase(there.begin());
      others_come();
    }
  }
}

}  // namespace
}  // namespace sluice::plan
