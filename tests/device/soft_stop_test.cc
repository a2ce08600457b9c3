// Stopping the queues: no kernel begins, whoever submits it, and those that run come to their end.
#include <thread>

#include "device/latch.hpp"
#include "device/soft_rig.hpp"
#include "device/stoppable_queues.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

class SoftStop : public ::testing::Test {
 protected:
  Result<void> stop(std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    const Result<void> asked = rig->stoppable_queues()->stop_queues();
    return asked ? rig->stoppable_queues()->wait_stopped({.deadline = Clock::now() + limit})
                 : asked;
  }
  Fence begin(const Latch& latch) {
    rig.finish(rig.map(2 * block_size, block_size, rig.on_host(2 * block_size), Rights::write));
    auto& here = *rig.host.alias<std::uint32_t>(2 * block_size);
    const sluice_soft_meet meet{pointer<std::uint32_t>(rig.host.at(2 * block_size)),
                                latch.arguments().word, 1};
    const Fence fence = GET(rig.launch(queue, rig.kernel("meet"), meet));
    while (__atomic_load_n(&here, __ATOMIC_ACQUIRE) != 1) std::this_thread::yield();
    return fence;
  }

  Rig rig{soft_backend()};
  QueueId queue = GET(rig->create_queue());
};

TEST_F(SoftStop, what_comes_meanwhile_waits_and_copies_go_on) {
  ASSERT_TRUE(stop());
  const QueueId later = GET(rig->create_queue());
  const Fence first = GET(rig.launch(queue, rig.kernel("nothing"), 0));
  const Fence second = GET(rig.launch(later, rig.kernel("nothing"), 0));
  const Fence third = GET(soft_calls(rig).dispatch(queue, {rig.kernel("nothing"), {}, 1, {}}, {}));
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
  EXPECT_TRUE(rig->stoppable_queues()->wait_stopped({}));
  for (const Fence& fence : {first, second, third})
    EXPECT_EQ(rig->poll(fence), FenceState::pending);
  EXPECT_EQ(code_of(rig->stoppable_queues()->stop_queues()), ErrorCode::busy);
  rig->stoppable_queues()->restart_queues();
  for (const Fence& fence : {first, second, third}) rig.finish(fence);
  ASSERT_TRUE(stop()) << "as often as it is asked";
  rig->stoppable_queues()->restart_queues();
}

TEST_F(SoftStop, a_kernel_that_runs_is_waited_for_until_the_deadline) {
  Latch latch(rig);
  const Fence running = begin(latch);
  const Result<void> late = stop(std::chrono::milliseconds(20));
  EXPECT_EQ(code_of(late), ErrorCode::timed_out);
  EXPECT_NE(detail_of(late).find("queue 0 still runs"), std::string::npos) << detail_of(late);
  latch.open();
  EXPECT_TRUE(rig->stoppable_queues()->wait_stopped({}));
  rig.finish(running);
  rig->stoppable_queues()->restart_queues();
  rig.finish(rig.launch(queue, rig.kernel("nothing"), 0));
}

TEST_F(SoftStop, a_launch_that_waits_for_others_does_not_run) {
  Latch latch(rig);
  const Fence running = begin(latch);
  const QueueId other = GET(rig->create_queue());
  const Fence waits = GET(rig->launch(other, {rig.kernel("nothing"), {}, 1, {&running, 1}}));
  latch.open();
  ASSERT_TRUE(stop());
  rig.finish(running);
  rig->stoppable_queues()->restart_queues();
  rig.finish(waits);
}

TEST_F(SoftStop, a_device_that_ends_is_lost_and_comes_back_stopped) {
  Latch latch(rig);
  const Fence running = begin(latch);
  ASSERT_TRUE(rig->stoppable_queues()->stop_queues());
  kill(device_process(), SIGKILL);
  EXPECT_EQ(code_of(rig->stoppable_queues()->wait_stopped({})), ErrorCode::device_lost);
  EXPECT_EQ(code_of(rig.outcome(running)), ErrorCode::device_lost);
  ASSERT_TRUE(rig->reset());
  const Fence fence = GET(rig.launch(queue, rig.kernel("nothing"), 0));
  EXPECT_TRUE(rig->stoppable_queues()->wait_stopped({}));
  EXPECT_EQ(rig->poll(fence), FenceState::pending);
  rig->stoppable_queues()->restart_queues();
  rig.finish(fence);
}

TEST_F(SoftStop, is_planned_to_fail_or_to_hang) {
  ASSERT_TRUE(
      soft_calls(rig).plan_faults("step=stop nth=1 action=fail; step=stop nth=2 action=hang"));
  EXPECT_EQ(code_of(stop()), ErrorCode::system);
  EXPECT_EQ(code_of(stop(std::chrono::milliseconds(10))), ErrorCode::timed_out);
  rig->stoppable_queues()->restart_queues();
  ASSERT_TRUE(stop());
  rig->stoppable_queues()->restart_queues();
}

}  // namespace
}  // namespace sluice::device::testing
