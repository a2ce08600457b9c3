// Who watches: there is always somebody, unless all are at work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "fault/watch.hpp"

namespace sluice::fault {
namespace {

TEST(Watch, nobody_rests_alone) {
  Watch watch(1, 2);
  EXPECT_FALSE(watch.rest());
}

TEST(Watch, on_few_cpus_nobody_rests) {
  Watch watch(4, 1);
  EXPECT_FALSE(watch.rest());
}

TEST(Watch, the_last_to_leave_wakes_another) {
  Watch watch(2, 2);
  for (int round = 0; round < 200; ++round) {
    std::atomic<bool> woken{false};
    std::thread other([&] {
      while (!watch.rest()) std::this_thread::yield();
      woken = true;
    });
    while (!woken) {
      watch.leave();
      std::this_thread::yield();
      watch.enter();
    }
    other.join();
  }
}

TEST(Watch, only_so_many_spin) {
  Watch watch(3, 2);
  EXPECT_TRUE(watch.begin_spin());
  EXPECT_TRUE(watch.begin_spin());
  EXPECT_FALSE(watch.begin_spin());
  watch.end_spin();
  EXPECT_TRUE(watch.begin_spin());
}

TEST(Watch, others_are_free_unless_all_are_at_work) {
  Watch watch(2, 2);
  EXPECT_TRUE(watch.others_are_free());
  watch.leave();
  EXPECT_FALSE(watch.others_are_free());
  watch.enter();
  EXPECT_TRUE(watch.others_are_free());
}

// Faults are numbers that are taken in turn; one left lying while handlers rest would never be answered.
TEST(Watch, every_fault_finds_a_handler) {
  constexpr int handlers = 4;
  constexpr int faults = 20000;
  Watch watch(handlers, 2);
  std::atomic<int> pending{0};
  std::atomic<int> answered{0};
  const auto take = [&] {
    for (int seen = pending; seen > 0;)
      if (pending.compare_exchange_weak(seen, seen - 1)) return true;
    return false;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < handlers; ++i)
    threads.emplace_back([&] {
      while (answered < faults) {
        if (!take()) {
          (void)watch.rest();
          std::this_thread::yield();
          continue;
        }
        watch.leave();
        std::this_thread::yield();
        ++answered;
        watch.enter();
      }
      watch.stop();
    });
  for (int i = 0; i < faults; ++i) {
    while (pending > 2) std::this_thread::yield();
    ++pending;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, faults);
}

}  // namespace
}  // namespace sluice::fault
