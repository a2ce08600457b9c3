// pthread_cancel: a thread that is cancelled in a call leaves it whole, and one that is cancelled
// at an access leaves there.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api_support.hpp"
#include "device_processes.hpp"

namespace sluice::api_test {
namespace {

// A thread for which a request to cancel it stands from the beginning, so that the first
// cancellation point would end it. False if that was in the call, or if the thread was never
// cancelled.
bool is_no_cancellation_point(const std::function<void()>& call) {
  struct Work {
    const std::function<void()>& call;
    bool returned = false;
  } work{call};
  pthread_t thread;
  EXPECT_EQ(pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  auto& own = *static_cast<Work*>(argument);
                  pthread_cancel(pthread_self());
                  own.call();
                  own.returned = true;
                  pthread_testcancel();
                  return nullptr;
                },
                &work),
            0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  return work.returned && result == PTHREAD_CANCELED;
}

class Cancelled : public ApiTest {};

TEST_F(Cancelled, threads_leave_calls_whole) {
  const auto buffer = words(1 << 16);
  const Fence running = occupy(queue, buffer, 20);
  const std::vector<int> devices{0, 1};
  const std::vector<MappingPart> parts{{buffer.data(), buffer.size() * 4}};
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"open and close", [] { take(Space::open(with_devices(1))); }},
      {"queue", [&] { take(space.queue(1)); }},
      {"kernel", [&] { (void)space.kernel(0, "/nowhere/kernels.so", "none"); }},
      {"wait", [&] { EXPECT_TRUE(ok(running.wait())); }},
      {"launch", [&] { EXPECT_TRUE(ok(fill(queue, buffer, 3).wait())); }},
      {"synchronize", [&] { EXPECT_TRUE(ok(space.synchronize())); }},
      {"allocate and free", [&] { (void)words(100); }},
      {"prefetch", [&] { take(space.prefetch(buffer.data(), 4096, Location::device(1))); }},
      {"copy", [&] { EXPECT_TRUE(ok(space.copy(buffer.data(), buffer.data() + 64, 64))); }},
      {"lease", [&] { take(space.lease(buffer.data(), 4096, Location::host(), Access::read)); }},
      {"map", [&] { EXPECT_TRUE(ok(space.map(parts, devices))); }},
      {"unmap", [&] { EXPECT_TRUE(ok(space.unmap(parts, devices))); }},
      {"discard", [&] { EXPECT_TRUE(ok(space.discard(buffer.data(), 4096))); }},
      {"queries", [&] { (void)space.explain(buffer.data()), (void)space.status(); }},
  };
  for (const auto& [name, call] : calls) EXPECT_TRUE(is_no_cancellation_point(call)) << name;
  EXPECT_TRUE(ok(fill(queue, buffer, 5).wait()));
  EXPECT_EQ(buffer[77], 5u);
  EXPECT_EQ(space.check(), std::nullopt);
}

TEST_F(Cancelled, threads_leave_a_reset_whole) {
  for (const pid_t process : device_processes()) ::kill(process, SIGKILL);
  for (const int device : {0, 1})
    while (!take(space.device(device)).lost) std::this_thread::yield();
  EXPECT_TRUE(is_no_cancellation_point([&] { EXPECT_TRUE(ok(space.reset_device(1))); }));
  EXPECT_FALSE(take(space.device(1)).lost);
  EXPECT_TRUE(ok(space.reset_device(0)));
}

class CancelledAccess : public testing::TestWithParam<Grade> {};

// The access waits for a kernel when the thread is cancelled.
TEST_P(CancelledAccess, leaves_the_memory_to_others) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers do not follow a thread that is cancelled at any instruction; run it "
                  "in a tree without one";
#endif
  SpaceOptions options = with_devices(1);
  options.best_grade = GetParam();
  const Space space = take(Space::open(options));
  const auto buffer = take(space.buffer<std::uint32_t>(1 << 16));
  const Queue queue = take(space.queue(0));
  const Kernel sleep = take(queue.kernel("sleep"));
  static std::atomic<int> started;
  started = 0;
  for (int round = 0; round < 5; ++round) {
    const Fence running =
        take(queue.launch(sleep).writes(buffer).arguments(sluice_soft_sleep{100'000'000}).submit());
    std::vector<pthread_t> threads(4);
    for (pthread_t& thread : threads) {
      ASSERT_EQ(pthread_create(
                    &thread, nullptr,
                    [](void* data) -> void* {
                      pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
                      ++started;
                      for (;;) (void)*static_cast<volatile std::uint32_t*>(data);
                    },
                    buffer.data() + 99),
                0);
    }
    while (started != 4 * (round + 1)) std::this_thread::yield();
    // Until they are at the access; where this is too short, the round shows nothing.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (const pthread_t thread : threads) pthread_cancel(thread);
    for (const pthread_t thread : threads) {
      void* result = nullptr;
      ASSERT_EQ(pthread_join(thread, &result), 0);
      EXPECT_EQ(result, PTHREAD_CANCELED);
    }
    buffer[99] = 7;  // waits for the kernel itself
    EXPECT_TRUE(running.done());
  }
  EXPECT_EQ(space.check(), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(grades, CancelledAccess,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::api_test
