// Fences: complete once, with one outcome; waits end for deadlines and, if asked to, for signals.
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include <pthread.h>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using namespace std::chrono_literals;

class FenceTest : public ApiTest {
 protected:
  const Buffer<std::uint32_t> buffer = words(1000);
};

TEST_F(FenceTest, the_default_is_complete) {
  const Fence fence;
  EXPECT_TRUE(fence.done());
  EXPECT_FALSE(fence.failed());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_TRUE(ok(fence.wait_for(0ns)));
  EXPECT_EQ(fence, Fence());
}

TEST_F(FenceTest, waits_end_at_their_deadlines_and_the_work_goes_on) {
  const Fence fence = occupy(queue, buffer, 200);
  EXPECT_FALSE(fence.done());
  EXPECT_THAT(fence.wait_for(10ms), refuses(ErrorCode::timed_out, ""));
  EXPECT_THAT(fence.wait_for(-1s), refuses(ErrorCode::timed_out, ""));
  EXPECT_THAT(fence.wait_until(Fence::Clock::now() + 5ms), refuses(ErrorCode::timed_out, ""));
  EXPECT_THAT(space.synchronize_until(Fence::Clock::now() + 5ms),
              refuses(ErrorCode::timed_out, ""));
  EXPECT_TRUE(ok(fence.wait_for(std::chrono::nanoseconds::max())));
  EXPECT_TRUE(fence.done());
  EXPECT_FALSE(fence.failed());
  EXPECT_TRUE(ok(fence.wait_for(0ns)));  // as often as it is asked
  EXPECT_TRUE(ok(space.synchronize()));
}

// Waits in a thread that gets SIGUSR1 while it waits.
class InterruptedTest : public FenceTest {
 protected:
  Result<void> wait_and_be_signalled(const Fence& fence, OnSignal on_signal) {
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, &before);
    std::atomic<bool> over{false};
    Result<void> outcome;
    std::thread waiting([&] {
      outcome = fence.wait(on_signal);
      over = true;
    });
    for (int i = 0; i < 20 && !over; ++i) {
      std::this_thread::sleep_for(5ms);
      if (!over) pthread_kill(waiting.native_handle(), SIGUSR1);
    }
    waiting.join();
    sigaction(SIGUSR1, &before, nullptr);
    return outcome;
  }
};

TEST_F(InterruptedTest, a_signal_ends_a_wait_that_asked_for_it_and_the_next_only_waits) {
  const Fence fence = occupy(queue, buffer, 300);
  EXPECT_THAT(wait_and_be_signalled(fence, OnSignal::return_interrupted),
              refuses(ErrorCode::interrupted, ""));
  EXPECT_FALSE(fence.done());
  EXPECT_TRUE(ok(fence.wait()));
}

TEST_F(InterruptedTest, any_other_wait_goes_on) {
  const Fence fence = occupy(queue, buffer, 100);
  EXPECT_TRUE(ok(wait_and_be_signalled(fence, OnSignal::keep_waiting)));
  EXPECT_TRUE(fence.done());
}

TEST_F(FenceTest, a_kernel_that_strays_fails_its_fence_and_names_the_address) {
  const Fence fence =
      take(queue.launch(take(queue.kernel("store")))
               .arguments(sluice_soft_store{reinterpret_cast<void*>(0x123000), 1, 4})
               .submit());
  EXPECT_THAT(fence.wait(), refuses(ErrorCode::device_fault, "0x123000"));
  EXPECT_TRUE(fence.failed());
  EXPECT_TRUE(fence.done());
  EXPECT_THAT(fence.wait(), refuses(ErrorCode::device_fault, "0x123000"));  // one outcome

  const Queue fresh = take(space.queue(0));
  EXPECT_TRUE(ok(fill(fresh, buffer, 8).wait()));
  EXPECT_EQ(buffer[0], 8U);
}

TEST_F(FenceTest, copies_are_the_same_point_and_threads_may_share_it) {
  const Fence fence = occupy(queue, buffer, 50);
  const Fence copy = fence;
  EXPECT_EQ(fence, copy);
  EXPECT_NE(fence, Fence());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_TRUE(ok(copy.wait())); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(fence.done());
}

}  // namespace
}  // namespace sluice::api_test
