// Who looks out: there is always somebody, unless all are at work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "fault/handler_spin_policy.hpp"

namespace sluice::fault {
namespace {

TEST(HandlerSpinPolicy, nobody_rests_alone) {
  HandlerSpinPolicy spin_policy(1, 2);
  EXPECT_FALSE(spin_policy.rest());
}

TEST(HandlerSpinPolicy, on_few_cpus_nobody_rests) {
  HandlerSpinPolicy spin_policy(4, 1);
  EXPECT_FALSE(spin_policy.rest());
}

TEST(HandlerSpinPolicy, the_last_to_leave_wakes_another) {
  HandlerSpinPolicy spin_policy(2, 2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> woken{false};
    std::thread other([&] {
      while (!spin_policy.rest()) std::this_thread::yield();
      woken = true;
    });
    while (!woken) {
      spin_policy.leave();
      std::this_thread::yield();
      spin_policy.enter();
      std::this_thread::yield();  // the other one rests only while this one looks out
    }
    other.join();
  }
}

TEST(HandlerSpinPolicy, only_so_many_spin) {
  HandlerSpinPolicy spin_policy(3, 2);
  EXPECT_TRUE(spin_policy.begin_spin());
  EXPECT_TRUE(spin_policy.begin_spin());
  EXPECT_FALSE(spin_policy.begin_spin());
  spin_policy.end_spin();
  EXPECT_TRUE(spin_policy.begin_spin());
}

TEST(HandlerSpinPolicy, others_are_free_unless_all_are_at_work) {
  HandlerSpinPolicy spin_policy(2, 2);
  EXPECT_TRUE(spin_policy.others_are_free());
  spin_policy.leave();
  EXPECT_FALSE(spin_policy.others_are_free());
  spin_policy.enter();
  EXPECT_TRUE(spin_policy.others_are_free());
}

// Faults are numbers that are taken in turn. The answer to an even one takes until the next is
// taken, as an answer may wait for a copy that another access asked for: if all others rested
// meanwhile, neither would ever come.
TEST(HandlerSpinPolicy, every_fault_finds_a_handler) {
  constexpr int handlers = 4;
  constexpr int faults = 20000;
  HandlerSpinPolicy spin_policy(handlers, 2);
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
          if (!spin_policy.rest()) std::this_thread::yield();
          continue;
        }
        spin_policy.leave();
        while (fault % 2 == 0 && taken <= fault + 1) std::this_thread::yield();
        spin_policy.enter();
      }
      spin_policy.stop();
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
