// What "mapped" means: on the devices asked for and no others, with the rights asked for, at once,
// and for as long as it lasts.
#include "mapping_rig.hpp"

namespace sluice::mapping_test {
namespace {

class Map : public MappingTest {
 protected:
  void SetUp() override { open(small_devices(4)); }
};

TEST_F(Map, the_host_and_every_device_of_the_set_use_it_at_once_at_the_same_address) {
  const auto data = words(4 * mib);
  data[0] = 7;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2, 3})));
  EXPECT_EQ(load(3, &data[0]), 7u);
  expect_usable_on(&data[0], {0, 1, 2, 3});
  expect_usable_on(&data[data.size() - 1], {0, 1, 2, 3});
  // At once: each waits for what the next one stores while all of them run.
  std::vector<Fence> waiting;
  for (int device = 1; device < 4; ++device)
    waiting.push_back(*launch(device, "spin", sluice_soft_spin{&data[10u + device], 5}));
  data[11] = 5;
  ASSERT_TRUE(store(0, &data[12], 5));
  data[13] = 5;
  for (const Fence& fence : waiting) EXPECT_TRUE(ok(fence.wait_for(std::chrono::seconds(60))));
}

TEST_F(Map, devices_that_were_not_named_stay_out) {
  const auto data = words(mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {1, 3})));
  expect_usable_on(&data[5], {1, 3});
}

TEST_F(Map, devices_with_recoverable_faults_are_mapped_like_others) {
  SpaceOptions options = small_devices(2);
  options.software.recoverable_fault_devices = 1;
  open(options);
  const auto data = words(4 * mib);
  move_to(0, data, 3);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1})));
  const std::uint64_t before = space->counters().gpu_faults;
  expect_usable_on(&data[mib - 1], {0, 1});
  EXPECT_EQ(space->counters().gpu_faults, before);
}

TEST_F(Map, only_with_the_rights_asked_for) {
  const auto data = words(mib);
  data[3] = 8;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1}, for_reading)));
  EXPECT_EQ(load(0, &data[3]), 8u);
  EXPECT_FALSE(store(0, &data[3], 9));
  EXPECT_EQ(data[3], 8u);
  // A launch that names more than was given is refused and not obeyed in silence.
  EXPECT_THAT(launch(1, "nothing", 0, &data), fails_with(ErrorCode::invalid_argument));
}

TEST_F(Map, access_to_an_existing_buffer_can_be_changed_both_ways) {
  const auto data = words(4 * mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1}, for_reading)));
  ASSERT_TRUE(ok(space->map(all_of(data), {1})));
  EXPECT_FALSE(store(0, &data[0], 1));
  EXPECT_TRUE(store(1, &data[0], 2));
  MappingReport report;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1}, for_reading, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(0, 1));
  EXPECT_FALSE(store(1, &data[0], 3));
  EXPECT_EQ(load(1, &data[0]), 2u);
}

TEST_F(Map, a_part_is_its_blocks_and_a_list_is_one_operation) {
  const auto first = words(8 * mib);
  const auto second = words(mib);
  MappingReport report;
  ASSERT_TRUE(ok(space->map({{&first[mib], 4096}, {second.data(), mib}}, {0, 2}, {},
                            OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(1, 1));
  expect_usable_on(&first[mib + 5], {0, 2});  // byte 4 MiB: the third block
  expect_usable_on(&second[0], {0, 2});
  expect_usable_on(&first[0], {});
  expect_usable_on(&first[2 * mib - 1], {});
}

TEST_F(Map, what_is_mapped_is_never_mapped_again) {
  const auto data = words(8 * mib);
  ASSERT_TRUE(ok(space->map({{data.data(), 2 * mib}}, {0, 1})));
  for (int device = 0; device < 2; ++device) plan(device, "step=map action=fail");
  MappingReport report;
  ASSERT_TRUE(
      ok(space->map({{data.data(), 2 * mib}}, {1, 0}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped));
  EXPECT_THAT(dispatched(report), ElementsAre(0, 0));
  EXPECT_EQ(report.prefix, 2u);
}

TEST_F(Map, nothing_moves_mapped_bytes_under_a_running_queue) {
  const auto data = words(2 * mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1})));
  // On device 0 runs a kernel that nobody knows of.
  const auto running = launch(0, "spin", sluice_soft_spin{&data[0], 1});
  ASSERT_TRUE(running);
  move_to(2, data, 6);  // names it all: works in place
  const auto hint = space->prefetch(data, Location::device(3));
  ASSERT_TRUE(hint);
  ASSERT_TRUE(ok(hint->wait()));
  EXPECT_THAT(space->discard(data.data(), 2 * mib), fails_with(ErrorCode::busy));
  EXPECT_THAT(space->lease(data.data(), 4, Location::device(1), Access::read),
              fails_with(ErrorCode::busy));
  EXPECT_EQ(load(1, &data[9]), 6u);
  EXPECT_EQ(space->residency(data.data())->holders, LocationSet(Location::host()));
  EXPECT_TRUE(store(1, &data[0], 1));
  EXPECT_TRUE(ok(running->wait_for(std::chrono::seconds(60))));
}

TEST_F(Map, nothing_of_a_devices_own_memory_stays_behind_for_eviction_to_find) {
  SpaceOptions options = small_devices(1);
  options.device_budget = 2 * mib;
  open(options);
  const auto data = words(2 * mib);
  plan(0, "step=map nth=1 action=fail");
  EXPECT_FALSE(launch(0, "nothing", 0, &data)) << "it got memory for the block, and no mapping";
  ASSERT_TRUE(ok(space->map(all_of(data), {0})));
  EXPECT_EQ(space->device(0)->in_use, 0u);
  move_to(0, words(2 * mib), 1);  // takes all the memory there is
  EXPECT_EQ(load(0, &data[0]), 0u);
}

TEST_F(Map, bytes_on_a_device_come_along) {
  const auto data = words(4 * mib);
  move_to(2, data, 42);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 2})));
  EXPECT_EQ(load(0, &data[100]), 42u);
  EXPECT_EQ(load(2, &data[mib - 1]), 42u);
  EXPECT_EQ(data[77], 42u);
}

TEST_F(Map, a_kernel_that_may_write_the_bytes_is_waited_for) {
  const auto data = words(mib);
  const auto until = words(4096);
  ASSERT_TRUE(ok(space->map(all_of(until), {2})));
  const auto running = launch(2, "spin", sluice_soft_spin{until.data(), 1}, &data);
  ASSERT_TRUE(running);
  const auto operation = space->start_map(all_of(data), {0, 1});
  ASSERT_TRUE(operation);
  EXPECT_THAT(
      operation->wait_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(20)),
      fails_with(ErrorCode::timed_out));
  EXPECT_THAT(dispatched(operation->report()), ElementsAre(0, 0));
  // Others are not held up by it.
  const auto other = words(mib);
  EXPECT_TRUE(ok(space->map(all_of(other), {0, 1})));
  until[0] = 1;
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_TRUE(running->done());
  EXPECT_EQ(load(1, &data[0]), 0u);
}

TEST_F(Map, calls_that_make_no_sense_are_refused_by_name) {
  const auto data = words(4096);
  const auto host = space->buffer<Word>(10, Kind::host);
  const auto refused = [](const auto& result, ErrorCode code, const char* named) {
    EXPECT_THAT(result, fails_with(code));
    if (!result) {
      EXPECT_THAT(std::string(result.error().detail()), HasSubstr(named));
    }
  };
  refused(space->map({}, {0}), ErrorCode::invalid_argument, "no parts");
  refused(space->map(all_of(data), {}), ErrorCode::invalid_argument, "no devices");
  refused(space->map(all_of(data), {1, 0, 1}), ErrorCode::invalid_argument,
          "device 1 is named twice");
  refused(space->map(all_of(data), {4}), ErrorCode::unknown_device, "device 4");
  refused(space->map({{data.data(), 5 * mib}}, {0}), ErrorCode::unknown_address,
          "leaves its range");
  refused(space->map(all_of(*host), {0}), ErrorCode::unsupported, "Kind::host");
  expect_usable_on(&data[0], {});
}

TEST_F(Map, space_explain_tells_where_it_is_mapped) {
  const auto data = words(4096);
  ASSERT_TRUE(ok(space->map(all_of(data), {1, 2})));
  EXPECT_THAT(space->explain(data.data()),
              HasSubstr("mapped until it is unmapped, on: device 1, device 2"));
}

}  // namespace
}  // namespace sluice::mapping_test
