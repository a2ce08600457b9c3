// Waiting: complete means complete, a signal interrupts the wait and nothing else, and the deadline
// that remains is known.
#include "mapping_rig.hpp"
#include "transfer/timelines.hpp"

namespace sluice::mapping_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

class Waiting : public MappingTest {
 protected:
  void SetUp() override {
    open(small_devices(3));
    until_ = words(4096);
    ASSERT_TRUE(ok(space->map(all_of(until_), {2})));
  }
  void TearDown() override {
    release();  // also where a test ended early
    MappingTest::TearDown();
  }
  // Keeps whoever else wants the data waiting for a kernel on device 2, until release().
  void hold(const Buffer<Word>& data) {
    ASSERT_TRUE(launch(2, "spin", sluice_soft_spin{until_.data(), 1}, &data));
  }
  void release() { until_[0] = 1; }

 private:
  Buffer<Word> until_;
};

TEST_F(Waiting, the_synchronous_call_returns_when_the_slowest_device_is_done) {
  const auto data = words(mib);
  plan(1, "step=map action=slow=300");
  MappingReport report;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_TRUE(report.done);
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, mapped));
  EXPECT_TRUE(store(1, &data[0], 3));
}

TEST_F(Waiting, a_started_operation_is_a_fence_with_a_report) {
  const auto data = words(mib);
  plan(1, "step=map action=slow=2000");
  const auto operation = space->start_map(all_of(data), {0, 1, 2});
  ASSERT_TRUE(operation);
  EXPECT_FALSE(operation->done());
  ASSERT_TRUE(eventually([&] { return operation->report().devices[1].dispatched == 1; }));
  const MappingReport early = operation->report();
  EXPECT_FALSE(early.done);
  EXPECT_EQ(early.devices[1].state, MappingState::pending);
  EXPECT_LE(early.prefix, 1u);
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_TRUE(operation->done());
  EXPECT_EQ(operation->report().prefix, 3u);
  EXPECT_TRUE(ok(operation->wait())) << "as often as it is asked";
  EXPECT_EQ(load(1, &data[0]), 0u);
}

TEST_F(Waiting, a_finished_operation_means_flushed_page_tables) {
  const auto data = words(mib);
  for (int device = 0; device < 3; ++device) plan(device, "step=map action=slow=200");
  const auto operation = space->start_map(all_of(data), {0, 1, 2});
  ASSERT_TRUE(operation);
  ASSERT_TRUE(eventually([&] { return operation->done(); }));
  for (int device = 0; device < 3; ++device) EXPECT_TRUE(store(device, &data[7], 1)) << device;
}

TEST_F(Waiting, an_interrupted_call_repeated_dispatches_nothing_twice) {
  const auto data = words(mib);
  hold(data);
  // A second list for any of them would fail.
  for (int device = 0; device < 2; ++device)
    plan(device, "step=map nth=1 action=slow=400; step=map nth=2 action=fail");
  MappingReport report;
  const auto call = [&] {
    return space->map(all_of(data), {0, 1}, {}, OnSignal::return_interrupted, &report);
  };
  Mapping under_way;
  {
    const Signals signals;
    for (int time = 0; time < 3; ++time) {
      ASSERT_THAT(call(), fails_with(ErrorCode::interrupted));
      EXPECT_FALSE(report.done);
    }
    const auto attached = space->start_map(all_of(data), {0, 1});
    ASSERT_TRUE(attached);
    under_way = *attached;
    release();
    Result<void> again = call();
    while (!again && again.error().code() == ErrorCode::interrupted) again = call();
    EXPECT_TRUE(ok(again));
  }
  EXPECT_THAT(dispatched(under_way.report()), ElementsAre(1, 1));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped));
  for (int device = 0; device < 2; ++device) EXPECT_TRUE(store(device, &data[0], 1)) << device;
}

TEST_F(Waiting, an_interrupted_wait_is_waited_again) {
  const auto data = words(mib);
  hold(data);
  const auto operation = space->start_map(all_of(data), {1});
  ASSERT_TRUE(operation);
  {
    const Signals signals;
    EXPECT_THAT(operation->wait(OnSignal::return_interrupted), fails_with(ErrorCode::interrupted));
    EXPECT_FALSE(operation->done());
    release();
    EXPECT_TRUE(ok(operation->wait(OnSignal::keep_waiting))) << "signals do not end this one";
  }
  EXPECT_THAT(dispatched(operation->report()), ElementsAre(1));
}

TEST_F(Waiting, the_same_words_attach_to_the_operation_under_way) {
  const auto data = words(mib);
  hold(data);
  const auto first = space->start_map(all_of(data), {0, 1});
  const auto same = space->start_map(all_of(data), {0, 1});
  const auto other = space->start_map(all_of(data), {1, 0});
  ASSERT_TRUE(first && same && other);
  EXPECT_TRUE(*first == *same);
  EXPECT_FALSE(*first == *other);
  release();
  EXPECT_TRUE(ok(first->wait()));
  EXPECT_TRUE(ok(other->wait()));
}

TEST_F(Waiting, a_passed_deadline_ends_the_wait_and_not_the_operation) {
  const auto data = words(mib);
  hold(data);
  MappingOptions options;
  options.deadline = Clock::now() + milliseconds(30);
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {0}, options, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::timed_out));
  EXPECT_FALSE(report.done);
  EXPECT_EQ(report.remaining.count(), 0);
  release();
  EXPECT_TRUE(ok(space->map(all_of(data), {0}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(testing::Le(1u)));
  EXPECT_EQ(load(0, &data[0]), 0u);
}

TEST_F(Waiting, whoever_attaches_gets_the_deadline_that_remains) {
  const auto data = words(mib);
  hold(data);
  MappingOptions options;
  options.deadline = Clock::now() + seconds(1000);
  const auto first = space->start_map(all_of(data), {0, 1}, options);
  ASSERT_TRUE(first);
  EXPECT_LE(first->report().remaining, seconds(1000));
  EXPECT_GT(first->report().remaining, seconds(900));
  options.deadline = Clock::now() + seconds(100'000);
  const auto same = space->start_map(all_of(data), {0, 1}, options);
  ASSERT_TRUE(same);
  EXPECT_TRUE(*first == *same);
  EXPECT_LE(same->report().remaining, seconds(1000));
  release();
  EXPECT_TRUE(ok(first->wait()));
}

// Linux would restart its sleep otherwise: the handler is installed with SA_RESTART.
TEST_F(Waiting, a_wait_for_a_prefetch_is_interrupted_without_a_deadline_too) {
  transfer::HostTimeline prefetches;
  const device::Fence pending = prefetches.next();
  const Signals signals;
  EXPECT_THAT(prefetches.wait(pending.value, {.interruptible = true}),
              fails_with(ErrorCode::interrupted));
}

TEST_F(Waiting, a_handle_of_nothing_is_done) {
  const Mapping nothing;
  EXPECT_TRUE(nothing.done());
  EXPECT_TRUE(ok(nothing.wait()));
  EXPECT_TRUE(nothing.report().done);
  EXPECT_TRUE(ok(nothing.resume()));
}

}  // namespace
}  // namespace sluice::mapping_test
