// Failing: exact reports, resume, all or nothing, and each cause for real.
#include "mapping_rig.hpp"

namespace sluice::mapping_test {
namespace {

using std::chrono::milliseconds;

class Failures : public MappingTest {
 protected:
  void SetUp() override { open(small_devices(4)); }
  void refuse_mapping(int device) const { plan(device, "step=map action=fail"); }
  [[nodiscard]] bool lost(int device) const { return space->device(device)->lost; }
};

// --- partial -------------------------------------------------------------------------------------

TEST_F(Failures, partial_keeps_what_succeeded_and_tells_the_rest_exactly) {
  const auto data = words(mib);
  refuse_mapping(2);
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {0, 1, 2, 3}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::system));
  EXPECT_TRUE(report.done);
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, failed, mapped));
  EXPECT_EQ(report.prefix, 2u);
  ASSERT_TRUE(report.devices[2].why);
  EXPECT_THAT(std::string(report.devices[2].why->detail()), HasSubstr("as planned"));
  expect_usable_on(&data[0], {0, 1, 3});
}

TEST_F(Failures, the_last_device_is_told_like_any_other) {
  const auto data = words(mib);
  refuse_mapping(3);
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {0, 3}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::system));
  EXPECT_THAT(states(report), ElementsAre(mapped, failed));
  EXPECT_EQ(report.prefix, 1u);
}

TEST_F(Failures, resume_tries_only_the_rest) {
  const auto data = words(mib);
  refuse_mapping(1);
  const auto operation = space->start_map(all_of(data), {0, 1, 2});
  ASSERT_TRUE(operation);
  EXPECT_FALSE(operation->wait());
  plan(1, "");
  refuse_mapping(0);  // anything handed to these again would fail
  refuse_mapping(2);
  ASSERT_TRUE(ok(operation->resume()));
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_THAT(states(operation->report()), ElementsAre(mapped, mapped, mapped));
  EXPECT_THAT(dispatched(operation->report()), ElementsAre(0, 1, 0));
  expect_usable_on(&data[0], {0, 1, 2});
}

TEST_F(Failures, a_failed_device_reaches_nothing_not_even_what_it_had_before_the_bytes_left) {
  const auto data = words(2 * mib);
  move_to(1, data, 9);
  refuse_mapping(1);
  MappingReport report;
  EXPECT_FALSE(space->map(all_of(data), {0, 1}, {}, OnSignal::keep_waiting, &report));
  EXPECT_THAT(states(report), ElementsAre(mapped, failed));
  EXPECT_EQ(load(1, &data[0]), std::nullopt);
  EXPECT_EQ(load(0, &data[0]), 9u);
  // Its memory is free again.
  EXPECT_EQ(space->device(1)->in_use, 0u);
}

// --- all or nothing ------------------------------------------------------------------------------

TEST_F(Failures, all_or_nothing_undoes_what_this_operation_did) {
  const auto data = words(mib);
  refuse_mapping(2);
  MappingReport report;
  EXPECT_THAT(
      space->map(all_of(data), {0, 1, 2, 3}, all_or_nothing, OnSignal::keep_waiting, &report),
      fails_with(ErrorCode::system));
  EXPECT_THAT(states(report), ElementsAre(undone, undone, failed, undone));
  EXPECT_EQ(report.prefix, 0u);
  expect_usable_on(&data[0], {});
  EXPECT_TRUE(ok(space->free(data.data()))) << "nothing keeps it";
  [[maybe_unused]] const auto* gone = const_cast<Buffer<Word>&>(data).release();
}

TEST_F(Failures, all_or_nothing_leaves_what_stood_before) {
  const auto data = words(4 * mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0}, for_reading)));
  ASSERT_TRUE(ok(space->map({{data.data(), 2 * mib}}, {1})));
  ASSERT_TRUE(ok(space->map(all_of(data), {3})));
  // Undoing must not need what mapping needs: a further list of mappings would fail.
  for (int device = 0; device < 2; ++device)
    plan(device, "step=map nth=2 action=fail; step=room nth=2 action=fail");
  refuse_mapping(2);
  MappingReport report;
  EXPECT_FALSE(
      space->map(all_of(data), {0, 1, 2, 3}, all_or_nothing, OnSignal::keep_waiting, &report));
  EXPECT_THAT(states(report), ElementsAre(undone, undone, failed, mapped));
  EXPECT_EQ(load(0, &data[0]), 0u) << "it could read before";
  EXPECT_FALSE(store(0, &data[0], 1)) << "and no more than that";
  EXPECT_TRUE(store(1, &data[0], 2)) << "the first block was its own before";
  EXPECT_FALSE(store(1, &data[mib - 1], 3));
  EXPECT_TRUE(store(3, &data[mib - 1], 4));
}

TEST_F(Failures, all_or_nothing_can_be_resumed_as_a_whole) {
  const auto data = words(mib);
  refuse_mapping(1);
  const auto operation = space->start_map(all_of(data), {0, 1}, all_or_nothing);
  ASSERT_TRUE(operation);
  EXPECT_FALSE(operation->wait());
  plan(1, "");
  ASSERT_TRUE(ok(operation->resume()));
  EXPECT_TRUE(ok(operation->wait()));
  expect_usable_on(&data[0], {0, 1});
}

TEST_F(Failures, a_failure_during_allocation_releases_the_range_whole) {
  const SpaceStatus before = space->status();
  refuse_mapping(2);
  EXPECT_THAT(space->allocate_mapped(4 * mib, {0, 1, 2}), fails_with(ErrorCode::system));
  EXPECT_EQ(space->status().ranges, before.ranges);
  EXPECT_EQ(space->status().bytes, before.bytes);
  plan(2, "");
  auto range = space->allocate_mapped(4 * mib, {0, 1, 2});
  ASSERT_TRUE(range) << range.error().detail();
  expect_usable_on(reinterpret_cast<Word*>(range->data()), {0, 1, 2});
}

// --- the causes ----------------------------------------------------------------------------------

TEST_F(Failures, placing_the_bytes_is_paid_for_by_the_first_device) {
  const auto data = words(2 * mib);
  move_to(0, data, 5);
  plan(0, "step=copy action=fail");
  const auto operation = space->start_map(all_of(data), {1, 2, 3});
  ASSERT_TRUE(operation);
  EXPECT_THAT(operation->wait(), fails_with(ErrorCode::system));
  EXPECT_THAT(states(operation->report()), ElementsAre(failed, not_tried, not_tried));
  EXPECT_THAT(dispatched(operation->report()), ElementsAre(0, 0, 0));
  EXPECT_EQ(load(1, &data[0]), std::nullopt);
  plan(0, "");
  ASSERT_TRUE(ok(operation->resume()));
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_EQ(load(3, &data[0]), 5u);
}

TEST_F(Failures, memory_pressure_on_the_owner_leaves_no_range_behind) {
  const SpaceStatus before = space->status();
  EXPECT_THAT(space->allocate_mapped_on_device(0, 48 * mib, {1, 2}),
              fails_with(ErrorCode::out_of_device_memory));
  EXPECT_EQ(space->status().bytes, before.bytes);
  EXPECT_EQ(space->device(0)->in_use, 0u);
}

TEST_F(Failures, no_room_for_commands_fails_that_device) {
  const auto data = words(mib);
  plan(1, "step=room nth=1 action=fail");
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {0, 1, 2}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::out_of_host_memory));
  EXPECT_THAT(states(report), ElementsAre(mapped, failed, mapped));
  expect_usable_on(&data[0], {0, 2});
}

TEST_F(Failures, a_hung_copy_engine_ends_in_a_lost_device_and_the_report_says_what_was_lost) {
  SpaceOptions options = small_devices(3);
  options.software.transfer_timeout = until_hung;
  open(options);
  const auto data = words(2 * mib);
  move_to(0, data, 5);
  plan(0, "step=copy nth=1 action=hang");
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {1, 2}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::device_lost));
  EXPECT_THAT(states(report), ElementsAre(failed, not_tried));
  EXPECT_EQ(report.lost, 2 * mib);
  // The way out: reset the device, give up the bytes, and go on.
  EXPECT_THAT(space->map(all_of(data), {1, 2}), fails_with(ErrorCode::data_lost));
  ASSERT_TRUE(ok(space->reset_device(0)));
  ASSERT_TRUE(ok(space->discard(data.data(), 2 * mib)));
  EXPECT_TRUE(ok(space->map(all_of(data), {0, 1, 2})));
  expect_usable_on(&data[0], {0, 1, 2});
}

TEST_F(Failures, a_hung_mapping_ends_in_a_lost_device_and_the_others_are_mapped) {
  SpaceOptions options = small_devices(3);
  options.software.transfer_timeout = until_hung;
  open(options);
  const auto data = words(mib);
  plan(1, "step=map nth=1 action=hang");
  const auto operation = space->start_map(all_of(data), {0, 1, 2});
  ASSERT_TRUE(operation);
  EXPECT_THAT(operation->wait(), fails_with(ErrorCode::device_lost));
  EXPECT_THAT(states(operation->report()), ElementsAre(mapped, failed, mapped));
  EXPECT_EQ(operation->report().lost, 0u);
  ASSERT_TRUE(ok(space->reset_device(1)));
  ASSERT_TRUE(ok(operation->resume()));
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_THAT(dispatched(operation->report()), ElementsAre(0, 1, 0));
  expect_usable_on(&data[0], {0, 1, 2});
}

TEST_F(Failures, a_device_that_vanishes_while_it_is_mapped_fails_alone) {
  const auto data = words(mib);
  plan(2, "step=map nth=1 action=kill");
  MappingReport report;
  EXPECT_THAT(space->map(all_of(data), {0, 1, 2, 3}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::device_lost));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, failed, mapped));
  expect_usable_on(&data[0], {0, 1, 3});
}

TEST_F(Failures, a_device_that_vanishes_later_is_forgotten_and_mapped_anew_alone) {
  const auto data = words(mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2})));
  (void)launch(1, "crash", 0);
  ASSERT_TRUE(eventually([&] { return lost(1); }));
  EXPECT_THAT(space->map(all_of(data), {0, 1, 2}), fails_with(ErrorCode::device_lost));
  ASSERT_TRUE(ok(space->reset_device(1)));
  MappingReport report;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(0, 1, 0));
  expect_usable_on(&data[0], {0, 1, 2});
}

// --- peers ---------------------------------------------------------------------------------------

TEST_F(Failures, peers_reach_the_memory_of_another_device_and_one_pair_may_be_refused) {
  auto range = space->allocate_on_device(0, 4 * mib);
  ASSERT_TRUE(range);
  auto* data = reinterpret_cast<Word*>(range->data());
  plan(2, "step=peer action=fail");
  MappingReport report;
  EXPECT_THAT(space->map({{data, 4 * mib}}, {0, 1, 2, 3}, {}, OnSignal::keep_waiting, &report),
              fails_with(ErrorCode::unsupported));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, failed, mapped));
  EXPECT_THAT(std::string(report.devices[2].why->detail()),
              HasSubstr("device 2: access to memory of device 0 refused"));
  EXPECT_TRUE(store(0, &data[mib - 1], 11));
  EXPECT_EQ(load(1, &data[mib - 1]), 11u);
  EXPECT_TRUE(store(3, &data[mib - 1], 12));
  EXPECT_EQ(load(0, &data[mib - 1]), 12u);
  EXPECT_EQ(load(2, &data[mib - 1]), std::nullopt);
  EXPECT_EQ(space->device(1)->in_use, 0u) << "one placement, paid for once";
  EXPECT_THAT(range->free(), fails_with(ErrorCode::busy));
  ASSERT_TRUE(ok(space->unmap({{data, 4 * mib}}, {1, 3})));
  EXPECT_EQ(load(1, data), std::nullopt);
  EXPECT_THAT(space->unmap({{data, 4 * mib}}, {0}), fails_with(ErrorCode::unsupported));
  EXPECT_TRUE(ok(range->free()));
}

TEST_F(Failures, the_owners_end_takes_its_peers_mappings_along) {
  auto range = space->allocate_mapped_on_device(0, 2 * mib, {1, 2});
  ASSERT_TRUE(range) << range.error().detail();
  auto* data = reinterpret_cast<Word*>(range->data());
  ASSERT_TRUE(store(1, data, 3));
  (void)launch(0, "crash", 0);
  ASSERT_TRUE(eventually([&] { return lost(0) && load(1, data) == std::nullopt; }));
  EXPECT_THAT(space->map({{data, 2 * mib}}, {1}), fails_with(ErrorCode::data_lost));
  ASSERT_TRUE(ok(space->reset_device(0)));
  EXPECT_EQ(load(2, data), std::nullopt);
  EXPECT_TRUE(ok(range->free()));
}

}  // namespace
}  // namespace sluice::mapping_test
