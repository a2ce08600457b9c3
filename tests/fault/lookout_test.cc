// Who looks out: there is always somebody, unless all are at work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "fault/lookout.hpp"

namespace sluice::fault {
namespace {

TEST(Lookout, nobody_rests_alone) {
  Lookout lookout(1, 2);
  EXPECT_FALSE(lookout.rest());
}

TEST(Lookout, on_few_cpus_nobody_rests) {
  Lookout lookout(4, 1);
  EXPECT_FALSE(lookout.rest());
}

TEST(Lookout, the_last_to_leave_wakes_another) {
  Lookout lookout(2, 2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> woken{false};
    std::thread other([&] {
      while (!lookout.rest()) std::this_thread::yield();
      woken = true;
    });
    while (!woken) {
      lookout.leave();
      std::this_thread::yield();
      lookout.enter();
      std::this_thread::yield();  // the other one rests only while this one looks out
    }
    other.join();
  }
}

TEST(Lookout, only_so_many_spin) {
  Lookout lookout(3, 2);
  EXPECT_TRUE(lookout.begin_spin());
  EXPECT_TRUE(lookout.begin_spin());
  EXPECT_FALSE(lookout.begin_spin());
  lookout.end_spin();
  EXPECT_TRUE(lookout.begin_spin());
}

TEST(Lookout, others_are_free_unless_all_are_at_work) {
  Lookout lookout(2, 2);
  EXPECT_TRUE(lookout.others_are_free());
  lookout.leave();
  EXPECT_FALSE(lookout.others_are_free());
  lookout.enter();
  EXPECT_TRUE(lookout.others_are_free());
}

// Faults are numbers that are taken in turn. The answer to an even one takes until the next is
// taken, as an answer may wait for a copy that another access asked for: if all others rested
// meanwhile, neither would ever come.
TEST(Lookout, every_fault_finds_a_handler) {
  constexpr int handlers = 4;
  constexpr int faults = 20000;
  Lookout lookout(handlers, 2);
  std::atomic<int> arrived{0};
  std::atomic<int> taken{0};
  const auto take = [&] {
    for (int next = taken; next < arrived;)
      if (taken.compare_exchange_weak(next, next + 1)) return next;
    return -1;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < handlers; ++i)
    threads.emplace_back([&] {
      while (taken < faults) {
        const int fault = take();
        if (fault < 0) {
          if (!lookout.rest()) std::this_thread::yield();
          continue;
        }
        lookout.leave();
        while (fault % 2 == 0 && taken <= fault + 1) std::this_thread::yield();
        lookout.enter();
      }
      lookout.stop();
    });
  for (int i = 0; i < faults; ++i) {
    while (arrived - taken > 1) std::this_thread::yield();
    ++arrived;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, faults);
}

}  // namespace
}  // namespace sluice::fault
