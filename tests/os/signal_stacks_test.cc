// call_on_own_stack(): however many threads work at the same time, none works on its program's
// stack.
#include <sys/resource.h>

#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include "os/signal_frame_in_handler.hpp"

namespace sluice::os::in_handler {
namespace {

constexpr int threads = 200;

struct Work {
  std::barrier<>* all = nullptr;  // is in the work; null: the work does not wait for others
  std::uintptr_t place = 0;
};

void work(void* argument) {
  auto& mine = *static_cast<Work*>(argument);
  volatile char bytes[64 << 10];
  for (std::size_t i = 0; i < sizeof bytes; i += 512) bytes[i] = 1;
  mine.place = reinterpret_cast<std::uintptr_t>(&bytes);
  if (mine.all != nullptr) mine.all->arrive_and_wait();
}

// The place of each thread's work, as a distance from its own stack.
std::vector<Work> work_in_threads(std::barrier<>* all, std::atomic<int>& on_own_stack) {
  std::vector<Work> works(threads);
  std::vector<std::thread> running;
  for (Work& mine : works)
    running.emplace_back([&] {
      mine.all = all;
      call_on_own_stack(work, &mine);
      const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
      if (here - mine.place < std::uintptr_t{128} << 10) ++on_own_stack;
    });
  for (std::thread& one : running) one.join();
  return works;
}

TEST(SignalStacks, hundreds_of_threads_work_at_once) {
  ASSERT_TRUE(prepare_stacks());
  std::barrier<> all(threads);
  std::atomic<int> on_own_stack = 0;
  const std::vector<Work> works = work_in_threads(&all, on_own_stack);
  std::set<std::uintptr_t> places;
  for (const Work& one : works) places.insert(one.place);
  EXPECT_EQ(places.size(), static_cast<std::size_t>(threads));
  EXPECT_EQ(on_own_stack, 0);
}

// The limit is the process's, so a child of its own has it.
void work_without_room_for_more_stacks() {
  if (!prepare_stacks()) std::_Exit(2);
  std::vector<std::thread> running;
  std::atomic<bool> begin = false;
  std::atomic<int> done = 0;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&] {
      begin.wait(false);
      for (int round = 0; round < 20; ++round) {
        Work mine;
        call_on_own_stack(work, &mine);
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        if (here - mine.place < std::uintptr_t{128} << 10) std::_Exit(3);
      }
      ++done;
    });
  const rlimit none = {1 << 20, 1 << 20};
  if (setrlimit(RLIMIT_AS, &none) != 0) std::_Exit(4);
  begin = true;
  begin.notify_all();
  for (std::thread& one : running) one.join();
  std::_Exit(done == threads ? 0 : 5);
}

TEST(SignalStacksDeathTest, threads_wait_where_linux_maps_no_more) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(work_without_room_for_more_stacks(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace sluice::os::in_handler
#endif
