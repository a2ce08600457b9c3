// What happens when a device's memory is short: eviction by last use, host memory for the rest, or
// a refusal that moves nothing.
#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

class Pressure : public EngineTest {
 protected:
  void open_with(Overflow overflow) {
    SpaceOptions options = small_devices(2);
    options.device_budget = 8 * mib;
    options.overflow = overflow;
    open(options);
  }
  // Ranges of a block each, in the order of their use, with their numbers as words.
  std::vector<std::uint32_t*> fill_device_0() {
    std::vector<std::uint32_t*> ranges;
    for (std::uint32_t i = 0; i < 4; ++i) {
      ranges.push_back(words(2 * mib));
      expect_done(fill(0, ranges.back(), 2 * mib, i));
    }
    return ranges;
  }
};

TEST_F(Pressure, the_block_used_longest_ago_leaves_first) {
  open_with(Overflow::refuse);
  const std::vector<std::uint32_t*> ranges = fill_device_0();
  expect_done(fill(0, ranges[0], 2 * mib, 100));
  std::uint32_t* late = words(2 * mib);
  expect_done(fill(0, late, 2 * mib, 200));
  EXPECT_EQ(holders(ranges[0]), LocationSet(Location::device(0)));
  EXPECT_EQ(holders(ranges[1]), LocationSet(Location::host()));
  EXPECT_EQ(holders(ranges[2]), LocationSet(Location::device(0)));
  EXPECT_LE(engine->device_status(0)->in_use, 8 * mib);
  EXPECT_EQ(ranges[1][5], 1u);
  EXPECT_EQ(ranges[0][5], 100u);
}

TEST_F(Pressure, what_a_launch_names_does_not_make_room_for_the_rest_of_it) {
  open_with(Overflow::refuse);
  const std::vector<std::uint32_t*> ranges = fill_device_0();
  std::uint32_t* late = words(2 * mib);
  expect_done(
      launch(0, "fill", sluice_soft_fill{late, 200}, 2 * mib / 4,
             {{span(late, 2 * mib), Access::write}, {span(ranges[0], 2 * mib), Access::read}}));
  EXPECT_EQ(engine->observer().read_counters().evicted_blocks, 1u);
  EXPECT_EQ(holders(ranges[0]), LocationSet(Location::device(0)));
  EXPECT_EQ(holders(ranges[1]), LocationSet(Location::host()));
}

TEST_F(Pressure, what_a_launch_names_makes_room_for_what_is_leased_elsewhere) {
  open_with(Overflow::map_host);
  std::uint32_t* filling = words(8 * mib);
  expect_done(fill(0, filling, 8 * mib, 7));
  std::uint32_t* leased = words(2 * mib);
  expect_done(fill(1, leased, 2 * mib, 5));
  const auto lease = engine->lease(span(leased, 2 * mib), Location::device(1), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  expect_done(
      launch(0, "fill", sluice_soft_fill{filling, 8}, 8 * mib / 4,
             {{span(filling, 8 * mib), Access::write}, {span(leased, 2 * mib), Access::read}}));
  EXPECT_TRUE(holders(leased).contains(Location::device(0)));
  engine->end_lease(*lease);
  EXPECT_EQ(filling[2 * mib - 1], 8u);
}

TEST_F(Pressure, what_was_prefetched_stays_for_its_use) {
  open_with(Overflow::refuse);
  const std::vector<std::uint32_t*> ranges = fill_device_0();
  expect_done(engine->prefetch(span(ranges[0], 2 * mib), Location::device(0)));
  std::uint32_t* late = words(2 * mib);
  expect_done(fill(0, late, 2 * mib, 200));
  EXPECT_EQ(holders(ranges[0]), LocationSet(Location::device(0)));
  EXPECT_EQ(holders(ranges[1]), LocationSet(Location::host()));
}

TEST_F(Pressure, what_is_used_at_every_step_survives_a_scan) {
  constexpr std::size_t fit = 24;
  constexpr std::size_t hot = 16;  // used at every step, which then goes on through the others
  constexpr std::size_t scanned = 12;
  constexpr std::size_t cold = 40;
  constexpr std::size_t steps = 20;
  SpaceOptions options = small_devices(1, 2 * fit * mib);
  options.device_budget = 2 * fit * mib;
  options.strict = Strict::
      // its launches are slower, so more of them are under way, and what they use cannot leave
      off;
  open(options);
  std::vector<std::uint32_t*> ranges;
  for (std::size_t i = 0; i < hot + cold; ++i) ranges.push_back(words(2 * mib));
  std::vector<std::uint32_t> expected(ranges.size(), 0);
  std::uint32_t value = 0;
  const auto use = [&](std::size_t range) {  // a page of it is enough: all of it must be there
    expected[range] = ++value;
    ASSERT_TRUE(launch(0, "fill", sluice_soft_fill{ranges[range], value}, page_size / 4,
                       {{span(ranges[range], 2 * mib), Access::write}}));
  };
  std::size_t next = 0;
  const auto step = [&] {
    for (std::size_t i = 0; i < hot; ++i) use(i);
    for (std::size_t i = 0; i < scanned; ++i) use(hot + next++ % cold);
  };
  for (std::size_t i = 0; i < steps; ++i) step();
  const std::uint64_t before = engine->observer().read_counters().evicted_blocks;
  for (std::size_t i = 0; i < steps; ++i) step();
  const std::uint64_t evicted = engine->observer().read_counters().evicted_blocks - before;
  EXPECT_LE(evicted, steps * (scanned + 2)) << "by last use it is " << steps * (hot + scanned);
  ASSERT_TRUE(engine->synchronize({}));
  std::size_t staying = 0;
  for (std::size_t i = 0; i < hot; ++i)
    staying += holders(ranges[i]).contains(Location::device(0)) ? 1 : 0;
  EXPECT_GE(staying, hot - 2);
  EXPECT_THAT(engine->explain(Address::of(ranges[hot - 1])),
              testing::HasSubstr("device 0 evicts by reuse"));
  for (std::size_t i = 0; i < ranges.size(); ++i) EXPECT_EQ(ranges[i][1000], expected[i]) << i;
}

TEST_F(Pressure, what_does_not_fit_a_launch_stays_in_host_memory) {
  open_with(Overflow::map_host);
  std::uint32_t* data = words(20 * mib);
  for (std::size_t i = 0; i < 5 * mib; ++i) data[i] = static_cast<std::uint32_t>(i);
  for (int round = 0; round < 3; ++round)
    expect_done(launch(0, "mix", sluice_soft_mix{reinterpret_cast<std::uint8_t*>(data), 4, 1, 4},
                       5 * mib, {{span(data, 20 * mib), Access::write}}));
  EXPECT_LE(engine->device_status(0)->in_use, 8 * mib);
  for (std::size_t i = 0; i < 5 * mib; ++i) {
    std::uint64_t value = i;
    for (int round = 0; round < 3; ++round)
      value = static_cast<std::uint32_t>(sluice_soft_mixed(value, 1, i));
    ASSERT_EQ(data[i], value) << i;
  }
}

TEST_F(Pressure, a_refused_launch_has_moved_nothing) {
  open_with(Overflow::refuse);
  std::uint32_t* resident = words(2 * mib);
  expect_done(fill(0, resident, 2 * mib, 1));
  std::uint32_t* data = words(20 * mib);
  data[0] = 4;
  const auto before = engine->observer().read_counters();
  EXPECT_THAT(fill(0, data, 20 * mib, 9), fails_with(ErrorCode::out_of_device_memory));
  const auto after = engine->observer().read_counters();
  EXPECT_EQ(after.bytes_to_devices, before.bytes_to_devices);
  EXPECT_EQ(after.evicted_blocks, before.evicted_blocks);
  EXPECT_EQ(holders(resident), LocationSet(Location::device(0)));
  EXPECT_EQ(data[0], 4u);
}

TEST_F(Pressure, device_ranges_count_and_stay) {
  open_with(Overflow::refuse);
  std::uint32_t* shared = words(4 * mib);
  expect_done(fill(1, shared, 4 * mib, 7));
  std::uint32_t* fixed = words(6 * mib, Kind::device, 1);
  EXPECT_NE(holders(shared), LocationSet(Location::device(1)))
      << "the shared range had to make room";
  const auto refused = engine->allocate(4 * mib, Kind::device, 1, HostPages::automatic);
  EXPECT_THAT(refused, fails_with(ErrorCode::out_of_device_memory));
  std::vector<std::uint32_t> bytes(1000, 0);
  expect_done(fill(1, fixed, 6 * mib, 11));
  ASSERT_TRUE(engine->copy(bytes.data(), fixed + 3, 4000));
  EXPECT_EQ(bytes[999], 11u);
  bytes[0] = 5;
  ASSERT_TRUE(engine->copy(fixed + 1, bytes.data(), 5));
  ASSERT_TRUE(engine->copy(bytes.data() + 1, fixed + 1, 8));
  EXPECT_EQ(bytes[1], 5u);
  EXPECT_EQ(shared[9], 7u);
  ASSERT_TRUE(engine->free(Address::of(fixed), FreeMode::wait));
  EXPECT_LE(engine->device_status(1)->in_use, 4 * mib);
}

TEST_F(Pressure, leased_blocks_are_not_evicted) {
  open_with(Overflow::map_host);
  std::uint32_t* leased = words(4 * mib);
  expect_done(fill(0, leased, 4 * mib, 1));
  const auto lease = engine->lease(span(leased, 4 * mib), Location::device(0), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  std::uint32_t* big = words(8 * mib);
  expect_done(fill(0, big, 8 * mib, 2));
  EXPECT_TRUE(holders(leased).contains(Location::device(0)));
  EXPECT_EQ(big[2 * mib - 1], 2u);
  engine->end_lease(*lease);
  EXPECT_EQ(leased[0], 1u);
}

// Who asks for a lease waits for memory that others are busy with, and leaves its own block to
// others meanwhile.
TEST_F(Pressure, a_block_that_is_to_be_leased_is_free_while_the_lease_waits_for_room) {
  SpaceOptions options = small_devices(2);
  options.device_budget = 2 * mib;
  open(options);
  std::uint32_t* busy = words(2 * mib);
  expect_done(fill(0, busy, 2 * mib, 1));
  const auto is_changing = [&] {
    return engine->explain(Address::of(busy)).find("changing right now") != std::string::npos;
  };
  ASSERT_TRUE(engine->plan_faults(1, "step=copy nth=1 action=slow=4000"));
  const auto moved = engine->prefetch(span(busy, 2 * mib), Location::device(1));
  ASSERT_TRUE(eventually(is_changing));

  std::uint32_t* data = words(2 * mib);
  std::jthread leasing([&] {
    const auto lease = engine->lease(span(data, 2 * mib), Location::device(0), Access::read);
    ASSERT_TRUE(lease) << lease.error().detail();
    engine->end_lease(*lease);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  for (const std::size_t page : {400u, 100u, 300u, 200u}) data[page * page_size / 4] = 5;
  EXPECT_TRUE(is_changing());
  leasing.join();
  expect_done(moved);
}

// A device may have less memory than its budget: other programs use it too.
TEST_F(Pressure, who_finds_no_room_is_told_what_the_device_said) {
  using testing::HasSubstr;
  open_with(Overflow::refuse);
  std::uint32_t* data = words(2 * mib);
  const Use all{span(data, 2 * mib), Access::read};
  const auto refused = [&] {
    const auto done = launch(0, "nothing", 0, 1, {all});
    EXPECT_THAT(done, fails_with(ErrorCode::out_of_device_memory));
    return done ? std::string() : std::string(done.error().detail());
  };
  ASSERT_TRUE(engine->plan_faults(0, "step=allocate every=1 action=fail"));
  EXPECT_THAT(refused(), HasSubstr("as planned"));
  ASSERT_TRUE(engine->plan_faults(0, ""));
  expect_done(launch(0, "nothing", 0, 1, {all}));

  std::uint32_t* leased = words(8 * mib);
  const auto lease = engine->lease(span(leased, 8 * mib), Location::device(0), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  EXPECT_THAT(refused(), HasSubstr("device 0: its budget of 8388608 bytes is full"));
  engine->end_lease(*lease);
}

TEST_F(Pressure, who_finds_no_room_for_what_is_leased_elsewhere_is_told_what_the_device_said) {
  open_with(Overflow::map_host);
  std::uint32_t* leased = words(2 * mib);
  const auto lease = engine->lease(span(leased, 2 * mib), Location::device(1), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  ASSERT_TRUE(engine->plan_faults(0, "step=allocate every=1 action=fail"));
  const auto refused = launch(0, "nothing", 0, 1, {{span(leased, 2 * mib), Access::read}});
  ASSERT_THAT(refused, fails_with(ErrorCode::out_of_device_memory));
  EXPECT_THAT(
      std::string(refused.error().detail()),
      testing::AllOf(testing::HasSubstr("leased on device 1"), testing::HasSubstr("as planned")));
  engine->end_lease(*lease);
}

TEST_F(Pressure, room_goes_first_to_what_a_lease_keeps_on_another_device) {
  SpaceOptions options = small_devices(3);
  options.device_budget = 2 * mib;
  open(options);
  std::uint32_t* first = words(2 * mib);
  std::uint32_t* leased = words(2 * mib);
  std::uint32_t* leased_too = words(2 * mib);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(page_size, Kind::host));
  leased[0] = 5;
  const auto lease = engine->lease(span(leased, 2 * mib), Location::device(0), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  expect_done(launch(2, "reduce", sluice_soft_reduce{leased, sum}, 1,
                     {{span(first, 2 * mib), Access::write},
                      {span(leased, 2 * mib), Access::read},
                      {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 5u);
  EXPECT_TRUE(holders(leased).contains(Location::device(0)));

  // Two such blocks need room for both.
  const auto too = engine->lease(span(leased_too, 2 * mib), Location::device(1), Access::read);
  ASSERT_TRUE(too) << too.error().detail();
  const auto refused =
      launch(2, "nothing", 0, 1,
             {{span(leased, 2 * mib), Access::read}, {span(leased_too, 2 * mib), Access::read}});
  ASSERT_THAT(refused, fails_with(ErrorCode::out_of_device_memory));
  EXPECT_THAT(std::string(refused.error().detail()), testing::HasSubstr("leased on device"));
  engine->end_lease(*too);
  engine->end_lease(*lease);
}

TEST_F(Pressure, launches_from_many_threads_share_a_small_device) {
  open_with(Overflow::map_host);
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 6; ++number)
    threads.emplace_back([&, number] {
      const auto queue = engine->create_queue(0);
      ASSERT_TRUE(queue);
      std::uint32_t* data = words(3 * mib);
      for (std::uint32_t round = 0; round < 20; ++round) {
        const sluice_soft_fill arguments{data, number * 1000 + round};
        const Use use{span(data, 3 * mib), Access::write};
        LaunchRequest request;
        request.queue = *queue;
        request.kernel = *engine->find_kernel(0, "", "fill");
        request.arguments = std::as_bytes(std::span(&arguments, 1));
        request.items = 3 * mib / 4;
        request.uses = {&use, 1};
        expect_done(engine->launch(request));
        ASSERT_EQ(data[round * 1000], number * 1000 + round);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(engine->device_status(0)->in_use, 8 * mib);
}

// Its faults are answered one after the other, while launches hold what could be evicted for a
// moment.
TEST_F(Pressure, a_device_with_recoverable_faults_waits_for_what_others_hold) {
  SpaceOptions options = small_devices(2);
  options.software.recoverable_fault_devices = 1;
  options.strict =
      Strict::off;  // its launches name nothing, as devices with recoverable faults allow
  options.device_budget = 4 * mib;
  options.overflow = Overflow::refuse;
  open(options);
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 4; ++number)
    threads.emplace_back([&, number] {
      const auto queue = engine->create_queue(0);
      ASSERT_TRUE(queue);
      std::uint32_t* data = words(3 * mib);
      for (std::uint32_t round = 0; round < 10; ++round) {
        const std::uint32_t value = number * 1000 + round;
        expect_done(launch_in(*queue, 0, "fill", sluice_soft_fill{data, value}, 3 * mib / 4, {}));
        ASSERT_EQ(data[round * 1000], value);
        ASSERT_TRUE(engine->prefetch(span(data, 3 * mib), Location::device(0)));
      }
    });
  for (std::thread& thread : threads) thread.join();
}

// For a moment its bytes are counted, and no block has it that could be asked to leave.
TEST_F(Pressure, a_allocation_on_its_way_to_another_block_is_waited_for) {
  SpaceOptions options = small_devices(1);
  options.device_budget = 2 * mib;
  options.overflow = Overflow::refuse;
  options.software.fault_plan = "step=allocate action=slow=5";
  open(options);
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 2; ++number)
    threads.emplace_back([&, number] {
      const auto own = engine->create_queue(0);
      ASSERT_TRUE(own);
      std::uint32_t* data = words(2 * mib);
      const Use all{span(data, 2 * mib), Access::write};
      for (std::uint32_t round = 0; round < 10; ++round)
        expect_done(launch_in(*own, 0, "fill", sluice_soft_fill{data, number}, mib / 2, {all}));
      EXPECT_EQ(data[mib / 2 - 1], number);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice::engine
