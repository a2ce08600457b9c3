// What happens when a device's memory is short: eviction by last use, host memory for the rest, or a refusal that moves nothing.
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
};

TEST_F(Pressure, the_block_used_longest_ago_leaves_first) {
  open_with(Overflow::refuse);
  std::vector<std::uint32_t*> ranges;
  for (std::uint32_t i = 0; i < 4; ++i) {
    ranges.push_back(words(2 * mib));
    expect_done(fill(0, ranges.back(), 2 * mib, i));
  }
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

TEST_F(Pressure, what_does_not_fit_a_launch_is_reached_in_host_memory) {
  open_with(Overflow::reach_host);
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
  open_with(Overflow::reach_host);
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

TEST_F(Pressure, launches_from_many_threads_share_a_small_device) {
  open_with(Overflow::reach_host);
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

// Its faults are answered one after the other, while launches hold what could be evicted for a moment.
TEST_F(Pressure, a_device_that_retries_faults_waits_for_what_others_hold) {
  SpaceOptions options = small_devices(2);
  options.software.retrying_devices = 1;
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

}  // namespace
}  // namespace sluice::engine
