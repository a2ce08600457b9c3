// Requests that wait for other threads: announcements wake them, but not their own.
#include "engine/contention.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/claim.hpp"

namespace sluice::engine {
namespace {

using contention::Clock;

// How many waits of at most a millisecond end before their time, out of `many`. A busy machine
// makes some late, and none early.
constexpr int many = 50;
template <typename Before>
int early_ends(const Before& before) {
  int early = 0;
  for (int i = 0; i < many; ++i) {
    contention::Wait wait;
    wait.begin();
    before();
    const Clock::time_point began = Clock::now();
    wait.wait();
    early += Clock::now() - began < std::chrono::microseconds(900) ? 1 : 0;
  }
  return early;
}

TEST(Contention, an_announcement_of_another_thread_since_the_attempt_began_is_not_missed) {
  EXPECT_GE(early_ends([] { std::thread(contention::announce).join(); }), 1);
}

// Two requests that give up claims for each other would otherwise keep each other busy.
TEST(Contention, its_own_announcements_wake_no_request) {
  EXPECT_EQ(early_ends([] { contention::announce(); }), 0);
  EXPECT_EQ(early_ends([] {}), 0);
}

TEST(Contention, is_over_after_a_time_that_begins_with_the_first_wait) {
  contention::Wait wait;
  EXPECT_FALSE(wait.is_over());
  wait.begin();
  wait.wait();
  EXPECT_FALSE(wait.is_over());
}

TEST(Contention, a_wait_ends_at_its_deadline) {
  contention::Wait wait;
  wait.begin();
  wait.wait(Clock::now() - std::chrono::seconds(1));
}

TEST(Contention, a_claim_that_a_request_wants_is_announced_when_it_is_given_back) {
  EXPECT_GE(early_ends([] {
              ClaimWord word;
              word.take();
              EXPECT_TRUE(word.want());
              std::thread([&word] { word.give_back(); }).join();
            }),
            1);
  EXPECT_EQ(early_ends([] {
              ClaimWord word;
              word.take();
              std::thread([&word] { word.give_back(); }).join();
            }),
            0);
}

TEST(Contention, a_free_claim_cannot_be_wanted) {
  ClaimWord word;
  EXPECT_FALSE(word.want());
  word.take();
  EXPECT_TRUE(word.want());
  word.give_back();
  EXPECT_FALSE(word.want());
}

// A claim that is wanted, and one that is awaited, are both told: no thread sleeps for ever.
TEST(Contention, claims_exclude_each_other_whatever_is_wanted_of_them) {
  ClaimWord word;
  int inside = 0;
  std::atomic<int> wrong{0};
  const auto work = [&] {
    for (int i = 0; i < 5000; ++i) {
      if (!word.try_take()) {
        (void)word.want();
        word.take();
      }
      if (++inside != 1) ++wrong;
      --inside;
      word.give_back();
    }
  };
  std::thread first(work);
  std::thread second(work);
  work();
  first.join();
  second.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_FALSE(word.is_held());
}

}  // namespace
}  // namespace sluice::engine
