// The software GPU's fences: interruption, and failures that are asked about long after.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "device/latch.hpp"
#include "device/soft/failure_log.hpp"
#include "device/soft_rig.hpp"

namespace sluice::device::testing {
namespace {

using std::chrono::milliseconds;

// Installs a handler that does nothing, for a scope.
class HandledSignal {
 public:
  HandledSignal(int signal, int flags) : signal_(signal) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    action.sa_flags = flags;
    sigaction(signal_, &action, &before_);
  }
  ~HandledSignal() { sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ = {};
};

class InterruptedWait : public ::testing::TestWithParam<int> {};

TEST_P(InterruptedWait, ends_and_can_be_repeated) {
  const HandledSignal handled(SIGUSR1, GetParam());
  Rig rig(soft_backend());
  Latch latch(rig);
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  std::atomic<bool> ended = false;
  std::optional<ErrorCode> code;
  std::thread waiter([&] {
    code = code_of(rig->wait(fence, {.deadline = Clock::now() + patience, .interruptible = true}));
    ended = true;
  });
  // A signal that comes before the sleep is not seen, as with every system call; so it is sent
  // until it is.
  ASSERT_TRUE(eventually([&] {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    return ended.load();
  }));
  waiter.join();
  EXPECT_EQ(code, ErrorCode::interrupted);
  EXPECT_EQ(rig->poll(fence), FenceState::pending);
  latch.open();
  EXPECT_TRUE(rig->wait(fence, patiently()));
}

INSTANTIATE_TEST_SUITE_P(Handlers, InterruptedWait, ::testing::Values(0, SA_RESTART),
                         [](const auto& test) { return test.param == 0 ? "Plain" : "Restarting"; });

TEST(SoftFence, signals_do_not_end_other_waits) {
  const HandledSignal handled(SIGUSR1, 0);
  Rig rig(soft_backend());
  Latch latch(rig);
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  std::atomic<bool> ended = false;
  Result<void> outcome;
  std::thread waiter([&] {
    outcome = rig->wait(fence, patiently());
    ended = true;
  });
  for (int i = 0; i < 100; ++i) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_FALSE(ended);
  latch.open();
  waiter.join();
  EXPECT_TRUE(outcome);
}

TEST(SoftFence, failures_are_exact_for_ever) {
  Rig rig(soft_backend());
  GET(soft_calls(rig).plan_faults("step=copy every=3 action=fail"));
  std::vector<Fence> fences;
  for (int i = 0; i < 5000; ++i)
    fences.push_back(GET(rig.copy(rig.on_host(0), rig.on_host(block_size), page_size)));
  static_cast<void>(rig->wait(fences.back(), patiently()));
  for (std::size_t i = 0; i < fences.size(); ++i) {
    const bool failed = (i + 1) % 3 == 0;
    ASSERT_EQ(rig->poll(fences[i]), failed ? FenceState::failed : FenceState::complete) << i;
    ASSERT_EQ(rig->wait(fences[i], patiently()).has_value(), !failed) << i;
  }
}

TEST(SoftFence, a_failure_ends_its_list_and_nothing_else) {
  Rig rig(soft_backend());
  GET(soft_calls(rig).plan_faults("step=copy nth=2 action=fail"));
  const std::vector<CopyCommand> list(500, {rig.on_host(0), rig.on_host(block_size), page_size});
  const Fence first = GET(rig->copy(list));
  const Fence second = GET(rig->copy(list));
  const Fence third = GET(rig->copy(list));
  EXPECT_TRUE(rig->wait(first, patiently()));
  EXPECT_FALSE(rig->wait(second, patiently()));
  EXPECT_TRUE(rig->wait(third, patiently()));
}

TEST(FailureLog, finds_exactly_what_was_appended) {
  soft::FailureLog log;
  EXPECT_FALSE(log.find(1));
  // Runs of equal failures and single ones, over several chunks.
  const auto failure_of = [](std::uint64_t value) -> soft::Failure {
    if (value % 7 == 0) return {soft::FailureKind::fault, 0, value, 0};
    if (value % 100 < 20) return {soft::FailureKind::planned, 0, 0, 0};
    return {};
  };
  constexpr std::uint64_t count = 50'000;
  for (std::uint64_t value = 1; value <= count; ++value) {
    if (const auto failure = failure_of(value)) log.append(value, failure);
  }
  for (std::uint64_t value = 1; value <= count + 10; ++value) {
    const auto expected = value <= count ? failure_of(value) : soft::Failure{};
    ASSERT_EQ(log.find(value), expected) << value;
  }
}

}  // namespace
}  // namespace sluice::device::testing
