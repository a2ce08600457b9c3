// Relocation under failures: whatever fails, and wherever, nothing is lost, the queues go on, and
// the books say which devices have the memory.
#include "relocation_rig.hpp"

namespace sluice::mapping_test {
namespace {

using std::chrono::milliseconds;

class RelocationFailures : public RelocationTest {
 protected:
  void SetUp() override {
    SpaceOptions options = quick();
    options.software.transfer_timeout = until_hung;
    open(options);
  }
  void fill_by_owner(const Range& range, Word value) {
    auto queue = space->queue(0);
    ASSERT_TRUE(queue);
    const auto fence = queue->launch(*queue->kernel("fill"))
                           .writes(range)
                           .arguments(sluice_soft_fill{word(range), value})
                           .items(range.size() / sizeof(Word))
                           .submit();
    ASSERT_TRUE(fence) << fence.error().detail();
    EXPECT_TRUE(ok(fence->wait()));
  }
  [[nodiscard]] bool lost(int device) const { return space->device(device)->lost; }
};

TEST_F(RelocationFailures,
       a_device_that_refuses_to_map_it_again_is_without_and_the_records_say_so) {
  const Range range = mapped_on_device_0(4 * mib, {1, 2});
  write_pattern(range, 17);
  plan(1, "step=map nth=1 action=fail");
  MappingReport report;
  EXPECT_THAT(relocate(range, Location::host(), &report), fails_with(ErrorCode::system));
  EXPECT_THAT(states(report), ElementsAre(mapped, failed, mapped));
  EXPECT_EQ(report.prefix, 1u);
  EXPECT_TRUE(is_away(range));
  expect_pattern(range, 17);
  EXPECT_THAT(space->explain(range.data()), HasSubstr("mapped until it is unmapped, on: device 2"));
  expect_used_by(range, {0, 2}, 20);
  ASSERT_TRUE(ok(space->map(all_of(range), {1, 2}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(1, 0));
  expect_used_by(range, {0, 1, 2}, 30);
}

TEST_F(RelocationFailures, the_owner_may_be_the_one_that_refuses) {
  const Range range = mapped_on_device_0(4 * mib, {1});
  for (const Location to : {Location::host(), Location::device(0)}) {
    plan(0, "step=map nth=1 action=fail");
    MappingReport report;
    EXPECT_THAT(relocate(range, to, &report), fails_with(ErrorCode::system));
    EXPECT_THAT(states(report), ElementsAre(failed, mapped));
    expect_used_by(range, {1}, 20);
    ASSERT_TRUE(ok(space->map(all_of(range), {0, 1}, {}, OnSignal::keep_waiting, &report)));
    EXPECT_THAT(dispatched(report), ElementsAre(1, 0));
    expect_used_by(range, {0, 1}, 30);
  }
}

TEST_F(RelocationFailures, a_launch_of_the_owner_maps_what_it_lacks) {
  const Range range = mapped_on_device_0(4 * mib, {1});
  for (const Location to : {Location::host(), Location::device(0)}) {
    plan(0, "step=map nth=1 action=fail");
    EXPECT_FALSE(relocate(range, to));
    fill_by_owner(range, 9);
    expect_used_by(range, {0, 1}, 40);
  }
}

TEST_F(RelocationFailures, a_copy_that_fails_leaves_everything_where_it_was) {
  const Range range = mapped_on_device_0(4 * mib, {1, 2});
  write_pattern(range, 23);
  plan(0, "step=copy nth=1 action=fail");
  MappingReport report;
  EXPECT_THAT(relocate(range, Location::host(), &report), fails_with(ErrorCode::system));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, mapped));
  EXPECT_EQ(space->device(0)->in_use, 4 * mib);
  EXPECT_FALSE(is_away(range));
  expect_pattern(range, 23);
  expect_used_by(range, {0, 1, 2}, 50);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  plan(0, "step=copy nth=1 action=fail");
  EXPECT_THAT(relocate(range, Location::device(0)), fails_with(ErrorCode::system));
  EXPECT_TRUE(is_away(range));
  EXPECT_EQ(space->device(0)->in_use, 0u);
  expect_used_by(range, {0, 1, 2}, 60);
}

TEST_F(RelocationFailures, no_room_for_commands_is_as_a_mapping_that_is_refused) {
  const Range range = mapped_on_device_0(2 * mib, {1, 2});
  plan(2, "step=room nth=1 action=fail");
  MappingReport report;
  EXPECT_THAT(relocate(range, Location::host(), &report),
              fails_with(ErrorCode::out_of_host_memory));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, failed));
  expect_used_by(range, {0, 1}, 10);
}

TEST_F(RelocationFailures, one_pair_that_is_refused_on_the_way_back) {
  const Range range = mapped_on_device_0(2 * mib, {1, 2});
  write_pattern(range, 3);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  plan(1, "step=peer action=fail");
  MappingReport report;
  EXPECT_THAT(relocate(range, Location::device(0), &report), fails_with(ErrorCode::unsupported));
  EXPECT_THAT(states(report), ElementsAre(mapped, failed, mapped));
  expect_pattern(range, 3);
  expect_used_by(range, {0, 2}, 10);
}

TEST_F(RelocationFailures, a_stop_that_fails_or_hangs_moves_nothing_and_the_queues_go_on) {
  const Range range = mapped_on_device_0(2 * mib, {1, 2});
  write_pattern(range, 31);
  plan(1, "step=stop nth=1 action=fail; step=stop nth=2 action=hang");
  EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::system));
  EXPECT_FALSE(is_away(range));
  expect_used_by(range, {0, 1, 2}, 10);
  EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::timed_out));
  EXPECT_FALSE(is_away(range));
  expect_used_by(range, {0, 1, 2}, 20);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
}

TEST_F(RelocationFailures, a_peer_that_dies_at_any_step_is_without_and_the_others_go_on) {
  for (const char* step : {"step=stop nth=1 action=kill", "step=unmap nth=1 action=kill",
                           "step=map nth=1 action=kill"}) {
    SCOPED_TRACE(step);
    const Range range = mapped_on_device_0(2 * mib, {1, 2});
    write_pattern(range, 41);
    plan(1, step);
    (void)relocate(range, Location::host());  // the death may come too late for the report
    ASSERT_TRUE(eventually([&] { return lost(1); }));
    EXPECT_TRUE(is_away(range));
    expect_pattern(range, 41);
    expect_used_by(range, {0, 2}, 10);
    ASSERT_TRUE(ok(space->reset_device(1)));
    expect_used_by(range, {0, 2}, 20);
    ASSERT_TRUE(ok(space->map(all_of(range), {1})));
    expect_used_by(range, {0, 1, 2}, 30);
  }
}

TEST_F(RelocationFailures, a_device_that_hangs_while_it_is_stopped_is_lost_and_the_others_go_on) {
  for (const char* step : {"step=unmap nth=1 action=hang", "step=map nth=1 action=hang"}) {
    SCOPED_TRACE(step);
    const Range range = mapped_on_device_0(2 * mib, {1, 2});
    write_pattern(range, 43);
    plan(2, step);
    MappingReport report;
    EXPECT_THAT(relocate(range, Location::host(), &report), fails_with(ErrorCode::device_lost));
    EXPECT_THAT(states(report), ElementsAre(mapped, mapped, failed));
    expect_pattern(range, 43);
    expect_used_by(range, {0, 1}, 10);
    ASSERT_TRUE(eventually([&] { return lost(2); }));
    ASSERT_TRUE(ok(space->reset_device(2)));
  }
}

TEST_F(RelocationFailures, the_owners_end_in_the_middle_loses_the_bytes_and_says_so) {
  for (const char* step : {"step=copy nth=1 action=kill", "step=copy nth=1 action=hang"}) {
    SCOPED_TRACE(step);
    const Range range = mapped_on_device_0(2 * mib, {1, 2});
    write_pattern(range, 47);
    plan(0, step);
    EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::device_lost));
    ASSERT_TRUE(eventually([&] { return lost(0) && space->residency(range.data())->lost; }));
    EXPECT_EQ(load(1, word(range)), std::nullopt);
    EXPECT_TRUE(ok(launch(1, "nothing", 0)->wait())) << "the queues of the others go on";
    EXPECT_THAT(space->map(all_of(range), {1}), fails_with(ErrorCode::data_lost));
    ASSERT_TRUE(ok(space->reset_device(0)));
    EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::data_lost));
  }
}

TEST_F(RelocationFailures, bytes_that_are_away_outlive_their_device) {
  const Range range = mapped_on_device_0(2 * mib, {1, 2});
  write_pattern(range, 53);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  (void)launch(0, "crash", 0);
  ASSERT_TRUE(eventually([&] { return lost(0); }));
  expect_pattern(range, 53);
  expect_used_by(range, {1, 2}, 10);
  EXPECT_THAT(relocate(range, Location::device(0)), fails_with(ErrorCode::device_lost));
  expect_used_by(range, {1, 2}, 20);
  ASSERT_TRUE(ok(space->reset_device(0)));
  expect_used_by(range, {0, 1, 2}, 30);
  ASSERT_TRUE(ok(relocate(range, Location::device(0))));
  expect_used_by(range, {0, 1, 2}, 40);
}

// The reset maps on its owner what is away. What comes home meanwhile is the owner's own.
TEST_F(RelocationFailures, what_comes_home_during_the_reset_of_its_device_stays_there) {
  SpaceOptions options = quick();
  options.software.transfer_timeout = std::chrono::seconds(60);
  open(options);
  const Range range = mapped_on_device_0(4 * mib, {1});
  Word* const second = word(range) + 2 * mib / sizeof(Word);
  write_pattern(range, 61);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  (void)launch(0, "crash", 0);
  ASSERT_TRUE(eventually([&] { return space->counters().devices_lost == 1; }));

  // The reset comes to the second block when this has ended, which has the claim on the first.
  plan(2, "step=map nth=1 action=hang");
  const auto hangs = space->start_map({{range.data(), 2 * mib}}, {2});
  ASSERT_TRUE(hangs);
  ASSERT_TRUE(
      eventually([&] { return hangs->report().devices[0].state == MappingState::pending; }));
  Background reset([&] { return space->reset_device(0); });
  ASSERT_TRUE(eventually([&] { return !lost(0); }));
  plan(0, "step=copy nth=1 action=slow=2000");
  Background back([&] { return space->relocate(second, 2 * mib, Location::device(0)); });
  ASSERT_TRUE(eventually([&] {
    return !space->residency(second)->host_mapped_on.contains(Location::device(1));
  })) << "it is to be on its way";
  (void)launch(2, "crash", 0);
  EXPECT_TRUE(ok(back.result()));
  EXPECT_TRUE(ok(reset.result()));

  EXPECT_EQ(space->residency(second)->holders, LocationSet(Location::device(0)));
  expect_pattern(range, 61);
  expect_used_by(range, {0, 1}, 10);
  (void)launch(0, "crash", 0);
  ASSERT_TRUE(eventually([&] { return space->residency(second)->lost; }));
  Word copied = 0;
  EXPECT_THAT(space->copy(&copied, second, sizeof copied), fails_with(ErrorCode::data_lost));
}

// Its launch maps it in host memory. The memory that was made ready for the bytes stays.
TEST_F(RelocationFailures, the_owner_may_use_what_is_about_to_come_home) {
  SpaceOptions options = quick();
  options.stop_interval = std::chrono::seconds(2);
  open(options);
  const Range range = mapped_on_device_0(2 * mib, {1});
  plan(0, "step=map nth=1 action=fail");
  EXPECT_FALSE(relocate(range, Location::host()));  // the owner lacks it
  std::atomic<pid_t> waiting{0};
  Background back([&] {
    waiting = gettid();
    return relocate(range, Location::device(0));
  });
  ASSERT_TRUE(eventually([&] { return space->device(0)->in_use == 2 * mib && is_asleep(waiting); }))
      << "it is to be ready, and to wait until queues may be stopped again";
  fill_by_owner(range, 9);
  EXPECT_TRUE(ok(back.result()));
  EXPECT_FALSE(is_away(range));
  EXPECT_TRUE(bytes_of(range) == std::vector<Word>(range.size() / sizeof(Word), 9));
  expect_used_by(range, {0, 1}, 20);
}

// The memory that was made ready for the bytes goes with the device.
TEST_F(RelocationFailures, the_owner_may_die_and_come_back_while_kernels_are_waited_for) {
  SpaceOptions options = quick();
  options.stop_interval = std::chrono::seconds(5);
  open(options);
  const Range range = mapped_on_device_0(2 * mib, {1});
  write_pattern(range, 67);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  const auto until = space->buffer<Word>(1, Kind::host);
  ASSERT_TRUE(until);
  const auto running = run_until_one(1, until->data());
  ASSERT_TRUE(running);
  std::atomic<pid_t> waiting{0};
  Background back([&] {
    waiting = gettid();
    return relocate(range, Location::device(0));
  });
  ASSERT_TRUE(
      eventually([&] { return space->device(0)->in_use == 2 * mib && is_asleep(waiting); }));
  plan(0, "step=room nth=1 action=kill");
  EXPECT_FALSE(space->map(all_of(words(mib)), {0}));
  ASSERT_TRUE(eventually([&] { return lost(0); }));
  ASSERT_TRUE(ok(space->reset_device(0)));
  __atomic_store_n(until->data(), 1, __ATOMIC_RELEASE);
  EXPECT_THAT(back.result(), fails_with(ErrorCode::device_lost));
  EXPECT_TRUE(is_away(range));
  EXPECT_EQ(space->device(0)->in_use, 0u);
  expect_pattern(range, 67);
  expect_used_by(range, {0, 1}, 20);
}

TEST_F(RelocationFailures, no_host_memory_is_said_before_anything_is_stopped) {
  SpaceOptions options = quick();
  options.host_budget = 4 * mib;
  open(options);
  const Range range = mapped_on_device_0(24 * mib, {1});
  write_pattern(range, 59);
  EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::out_of_host_memory));
  EXPECT_THAT(space->allocate_on_device(0, 16 * mib), fails_with(ErrorCode::out_of_device_memory));
  EXPECT_EQ(space->counters().queue_stops, 0u);
  expect_pattern(range, 59);
}

TEST_F(RelocationFailures, no_room_to_come_back_is_said_before_anything_is_stopped) {
  const Range range = mapped_on_device_0(24 * mib, {1});
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  const auto other = space->allocate_on_device(0, 16 * mib);
  ASSERT_TRUE(other);
  const std::uint64_t stops = space->counters().queue_stops;
  EXPECT_THAT(relocate(range, Location::device(0)), fails_with(ErrorCode::out_of_device_memory));
  EXPECT_EQ(space->counters().queue_stops, stops);
  EXPECT_EQ(space->device(0)->in_use, 16 * mib);
  expect_used_by(range, {0, 1}, 10);
}

// The device dies over and over, also right after its reset: nobody waits for a loss that was told
// before.
TEST_F(RelocationFailures, a_device_that_dies_right_after_its_reset_can_be_reset_again) {
  std::atomic<bool> stop{false};
  std::thread killer([&] {
    while (!stop) (void)launch(3, "crash", 0);
  });
  for (int turn = 0; turn < 20; ++turn) {
    ASSERT_TRUE(eventually([&] { return lost(3); }));
    (void)space->reset_device(3);
  }
  stop = true;
  killer.join();
}

}  // namespace
}  // namespace sluice::mapping_test
