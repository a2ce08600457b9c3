// Relocation: mapped memory moves, while the queues that may use it are stopped, and is mapped
// again at the same address. Nobody who uses it through a queue of its own can tell.
#include "relocation_rig.hpp"

namespace sluice::mapping_test {
namespace {

using std::chrono::milliseconds;

class Relocation : public RelocationTest {
 protected:
  void SetUp() override { open(quick()); }
};

TEST_F(Relocation, the_bytes_go_to_the_host_and_back_at_the_same_address) {
  const Range range = mapped_on_device_0(5 * mib, {1, 2});
  write_pattern(range, 7);
  MappingReport report;
  ASSERT_TRUE(ok(space->relocate(range.data(), range.size(), Location::host(), &report)));
  EXPECT_THAT(states(report), ElementsAre(mapped, mapped, mapped));
  EXPECT_EQ(report.prefix, 3u);
  EXPECT_EQ(space->device(0)->in_use, 0u);
  EXPECT_EQ(space->residency(range.data())->holders, LocationSet(Location::host()));
  expect_pattern(range, 7);
  expect_used_by(range, {0, 1, 2}, 20);
  ASSERT_TRUE(ok(space->relocate(range.data(), range.size(), Location::device(0))));
  EXPECT_EQ(space->residency(range.data())->holders, LocationSet(Location::device(0)));
  expect_used_by(range, {0, 1, 2}, 30);
}

TEST_F(Relocation, rights_stay_what_they_were) {
  const Range range = mapped_on_device_0(mib, {1}, Access::read);
  ASSERT_TRUE(ok(space->map(all_of(range), {2})));
  for (const Location to : {Location::host(), Location::device(0)}) {
    ASSERT_TRUE(ok(space->relocate(range.data(), range.size(), to)));
    EXPECT_TRUE(store(0, word(range), 3));
    EXPECT_EQ(load(1, word(range)), 3u);
    EXPECT_FALSE(store(1, word(range), 4));
    EXPECT_TRUE(store(2, word(range), 5));
    EXPECT_EQ(load(3, word(range)), std::nullopt);
  }
}

TEST_F(Relocation, a_kernel_that_runs_comes_to_its_end_before_anything_moves) {
  open(patient());
  const Range range = mapped_on_device_0(2 * mib, {1});
  write_pattern(range, 0);
  // Nobody was told that this kernel uses the range.
  const auto running = run_until_one(1, word(range));
  ASSERT_TRUE(running);
  Background relocation([&] { return relocate(range, Location::host()); });
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(relocation.done()) << "a kernel was running on memory that moved";
  EXPECT_EQ(space->residency(range.data())->holders, LocationSet(Location::device(0)));
  const Word one = 1;
  ASSERT_TRUE(ok(space->copy(range.data(), &one, sizeof one)));
  EXPECT_TRUE(ok(running->wait_for(std::chrono::seconds(60))));
  EXPECT_TRUE(ok(relocation.result()));
  EXPECT_EQ(load(1, word(range)), 1u);
}

TEST_F(Relocation, kernels_that_come_meanwhile_wait_and_find_it_at_its_place) {
  const Range range = mapped_on_device_0(2 * mib, {1, 2});
  write_pattern(range, 3);
  plan(0, "step=copy nth=1 action=slow=200");
  Background relocation([&] { return relocate(range, Location::host()); });
  ASSERT_TRUE(eventually([&] {
    return space->explain(range.data()).find("changing right now") != std::string::npos;
  }));
  for (int device = 0; device < 3; ++device) EXPECT_TRUE(store(device, word(range), 50 + device));
  EXPECT_TRUE(ok(relocation.result()));
  EXPECT_EQ(load(0, word(range)), 52u);
}

TEST_F(Relocation, every_byte_is_right_under_queues_that_never_rest) {
  const Range range = mapped_on_device_0(6 * mib, {1, 2});
  write_pattern(range, 0);
  // Each device works on a third of its own, by kernels that no launch names the range for.
  const std::size_t part = range.size() / 3;
  std::atomic<bool> stop{false};
  std::vector<std::vector<std::uint64_t>> seeds(3);
  std::vector<std::thread> users;
  for (int device = 0; device < 3; ++device)
    users.emplace_back([&, device] {
      auto queue = space->queue(device);
      auto kernel = queue->kernel("mix");
      for (std::uint64_t seed = 1; !stop; ++seed) {
        const auto fence = queue->launch(*kernel)
                               .arguments(mix_of(range, device * part, seed))
                               .items(part / sizeof(Word))
                               .submit();
        ASSERT_TRUE(fence && fence->wait());
        seeds[static_cast<std::size_t>(device)].push_back(seed);
      }
    });
  const std::uint64_t before = space->counters().queue_stops;
  int moves = 0;
  for (int turn = 0; turn < 20; ++turn) {
    const Result<void> moved =
        relocate(range, turn % 2 == 0 ? Location::host() : Location::device(0));
    moves += moved ? 1 : 0;
    if (!moved) {
      EXPECT_THAT(moved, fails_with(ErrorCode::timed_out));
    }
  }
  stop = true;
  for (std::thread& user : users) user.join();
  EXPECT_GT(moves, 0);
  EXPECT_GE(space->counters().queue_stops - before, static_cast<std::uint64_t>(3 * moves));
  std::vector<Word> expected = pattern(range, 0);
  for (std::size_t device = 0; device < 3; ++device)
    for (const std::uint64_t seed : seeds[device])
      for (std::size_t i = 0; i < part / sizeof(Word); ++i) {
        Word& value = expected[device * part / sizeof(Word) + i];
        value = static_cast<Word>(sluice_soft_mixed(value, seed, i));
      }
  EXPECT_TRUE(bytes_of(range) == expected);
}

TEST_F(Relocation, launches_that_name_it_go_on_wherever_it_is) {
  const Range range = mapped_on_device_0(4 * mib, {1});
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  for (const int device : {0, 1}) {
    auto queue = space->queue(device);
    ASSERT_TRUE(queue);
    const auto fence = queue->launch(*queue->kernel("fill"))
                           .writes(range)
                           .arguments(sluice_soft_fill{word(range), 60U + device})
                           .items(range.size() / sizeof(Word))
                           .submit();
    ASSERT_TRUE(fence) << fence.error().detail();
    ASSERT_TRUE(ok(fence->wait()));
    EXPECT_TRUE(bytes_of(range) == std::vector<Word>(range.size() / sizeof(Word), 60U + device));
  }
  EXPECT_EQ(space->device(0)->in_use, 0u) << "it is reached where it is";
}

TEST_F(Relocation, a_part_is_its_blocks) {
  const Range range = mapped_on_device_0(8 * mib, {1});
  write_pattern(range, 11);
  ASSERT_TRUE(ok(space->relocate(range.data() + 3 * mib, 1, Location::host())));
  EXPECT_EQ(space->device(0)->in_use, 6 * mib);
  expect_pattern(range, 11);
  ASSERT_TRUE(ok(space->map(all_of(range), {2}))) << "half of it here and half of it there";
  expect_used_by(range, {0, 1, 2}, 70);
  ASSERT_TRUE(ok(space->unmap(all_of(range), {1, 2})));
  EXPECT_EQ(load(1, word(range) + 3 * mib / sizeof(Word)), std::nullopt);
  expect_used_by(range, {0}, 80);
}

TEST_F(Relocation, what_is_there_already_stops_nobody) {
  const Range range = mapped_on_device_0(2 * mib, {1});
  ASSERT_TRUE(ok(relocate(range, Location::device(0))));
  EXPECT_EQ(space->counters().queue_stops, 0u);
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  EXPECT_EQ(space->counters().queue_stops, 2u);
}

TEST_F(Relocation, devices_that_do_not_map_it_are_not_stopped) {
  const Range range = mapped_on_device_0(2 * mib, {2});
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  EXPECT_EQ(space->device(0)->queue_stops, 1u);
  EXPECT_EQ(space->device(1)->queue_stops, 0u);
  EXPECT_EQ(space->device(2)->queue_stops, 1u);
}

TEST_F(Relocation, calls_that_make_no_sense_are_refused) {
  const auto shared = words(mib);
  EXPECT_THAT(space->relocate(shared.data(), mib, Location::host()),
              fails_with(ErrorCode::unsupported));
  const Range range = mapped_on_device_0(mib, {1});
  EXPECT_THAT(relocate(range, Location::device(1)), fails_with(ErrorCode::unsupported));
  EXPECT_THAT(relocate(range, Location::device(9)), fails_with(ErrorCode::unknown_device));
  EXPECT_THAT(space->relocate(range.data(), 9 * mib, Location::host()),
              fails_with(ErrorCode::unknown_address));
  SpaceOptions options = small_devices(1);
  options.stop_interval = milliseconds(0);
  EXPECT_THAT(Space::open(options), fails_with(ErrorCode::invalid_argument));
}

TEST_F(Relocation, leases_keep_it_and_bring_it_back) {
  const Range range = mapped_on_device_0(2 * mib, {1});
  write_pattern(range, 13);
  auto lease = space->lease(range.data(), 4096, Location::device(0), Access::read);
  ASSERT_TRUE(lease);
  EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::busy));
  EXPECT_EQ(space->device(0)->in_use, 2 * mib);
  lease->end();
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  lease = space->lease(range.data(), 4096, Location::device(0), Access::read);
  ASSERT_TRUE(lease) << lease.error().detail();
  EXPECT_EQ(space->residency(range.data())->holders, LocationSet(Location::device(0)));
  expect_pattern(range, 13);
}

TEST_F(Relocation, a_range_that_is_away_is_freed_whole) {
  SpaceOptions options = quick();
  options.host_budget = 4 * mib;
  open(options);
  const std::size_t held = space->status().bytes;
  {
    const Range range = mapped_on_device_0(2 * mib, {1});
    ASSERT_TRUE(ok(relocate(range, Location::host())));
    EXPECT_THAT(space->allocate(3 * mib), fails_with(ErrorCode::out_of_host_memory));
  }
  EXPECT_EQ(space->status().bytes, held);
  EXPECT_TRUE(space->allocate(3 * mib));
}

TEST_F(Relocation, it_can_be_asked_for_and_seen) {
  const Range range = mapped_on_device_0(2 * mib, {1});
  ASSERT_TRUE(space->trace().start());
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  EXPECT_THAT(space->explain(range.data()),
              HasSubstr("relocated to host memory, away from device 0"));
  const DeviceInfo device = *space->device(1);
  EXPECT_EQ(device.queue_stops, 1u);
  EXPECT_GT(device.stopped_for.count(), 0);
  EXPECT_EQ(device.stop_interval, quick().stop_interval);
  const Counters counters = space->counters();
  EXPECT_EQ(counters.queue_stops, 2u);
  EXPECT_EQ(counters.relocated_blocks, 1u);
  EXPECT_EQ(counters.bytes_relocated, 2 * mib);
  int stops = 0;
  int moves = 0;
  for (const Event& event : space->trace().events()) {
    stops += event.kind == EventKind::queue_stop && event.duration != 0 ? 1 : 0;
    moves += event.kind == EventKind::relocation && event.size == 2 * mib &&
                     event.from == Location::device(0) && event.to.is_host()
                 ? 1
                 : 0;
  }
  EXPECT_EQ(stops, 2);
  EXPECT_EQ(moves, 1);
}

// --- the rate ------------------------------------------------------------------------------------

TEST_F(Relocation, a_devices_queues_run_for_an_interval_between_two_stops) {
  const Range first = mapped_on_device_0(2 * mib, {1});
  const Range second = mapped_on_device_0(2 * mib, {2});
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(ok(relocate(first, Location::host())));
  ASSERT_TRUE(ok(relocate(second, Location::host())));
  ASSERT_TRUE(ok(relocate(first, Location::device(0))));
  ASSERT_TRUE(ok(relocate(second, Location::device(0))));
  EXPECT_GE(std::chrono::steady_clock::now() - began, 3 * quick().stop_interval);
  EXPECT_EQ(space->device(0)->queue_stops, 4u);
}

TEST_F(Relocation, a_stop_gives_up_a_kernel_that_does_not_end_and_moves_nothing) {
  const Range range = mapped_on_device_0(2 * mib, {1});
  write_pattern(range, 0);
  const auto running = run_until_one(1, word(range));
  ASSERT_TRUE(running);
  EXPECT_THAT(relocate(range, Location::host()), fails_with(ErrorCode::timed_out));
  EXPECT_EQ(space->residency(range.data())->holders, LocationSet(Location::device(0)));
  EXPECT_TRUE(store(0, word(range), 1)) << "the queues go on";
  EXPECT_TRUE(ok(running->wait_for(std::chrono::seconds(60))));
  EXPECT_TRUE(ok(relocate(range, Location::host())));
}

// --- the ranges that leave, and the requests that are served -------------------------------------

TEST_F(Relocation, mapped_ranges_leave_when_their_devices_memory_is_short) {
  const Range first = mapped_on_device_0(16 * mib, {1, 2});
  const Range second = mapped_on_device_0(14 * mib, {1});
  write_pattern(first, 1);
  write_pattern(second, 2);
  const auto third = space->allocate_on_device(0, 16 * mib);
  ASSERT_TRUE(third) << third.error().detail();
  EXPECT_TRUE(is_away(first) != is_away(second)) << "no more than had to";
  const auto fourth = space->allocate_on_device(0, 14 * mib);
  ASSERT_TRUE(fourth) << fourth.error().detail();
  EXPECT_TRUE(is_away(first) && is_away(second));
  expect_pattern(first, 1);
  expect_pattern(second, 2);
  expect_used_by(first, {0, 1, 2}, 40);
  const std::uint64_t stops = space->counters().queue_stops;
  EXPECT_THAT(space->allocate_on_device(0, 16 * mib), fails_with(ErrorCode::out_of_device_memory));
  EXPECT_EQ(space->counters().queue_stops, stops) << "refused before anything was stopped";
}

TEST_F(Relocation, what_was_never_mapped_on_another_device_stays) {
  const auto range = space->allocate_on_device(0, 24 * mib);
  ASSERT_TRUE(range);
  EXPECT_THAT(space->allocate_on_device(0, 16 * mib), fails_with(ErrorCode::out_of_device_memory));
  EXPECT_FALSE(is_away(*range));
}

TEST_F(Relocation, who_was_chosen_longest_ago_leaves_first) {
  const Range first = mapped_on_device_0(14 * mib, {1});
  const Range second = mapped_on_device_0(14 * mib, {1});
  for (const Range* newest : {&first, &second, &first}) {
    ASSERT_TRUE(ok(relocate(*newest, Location::host())));
    ASSERT_TRUE(ok(relocate(*newest, Location::device(0))));
    std::this_thread::sleep_for(5 * quick().stop_interval);
    const auto other = space->allocate_on_device(0, 8 * mib);
    ASSERT_TRUE(other) << other.error().detail();
    const Range& oldest = newest == &first ? second : first;
    EXPECT_TRUE(is_away(oldest));
    EXPECT_FALSE(is_away(*newest));
    ASSERT_TRUE(ok(const_cast<Range&>(*other).free()));
    ASSERT_TRUE(ok(relocate(oldest, Location::device(0))));
  }
}

TEST_F(Relocation, what_was_just_moved_is_not_chosen_again) {
  SpaceOptions options = quick();
  // Two stops take an interval or two anyway; the rest of the four must not be hidden by a busy
  // machine.
  options.stop_interval = milliseconds(400);
  open(options);
  const Range range = mapped_on_device_0(24 * mib, {1});
  ASSERT_TRUE(ok(relocate(range, Location::host())));
  const auto chosen = std::chrono::steady_clock::now();
  ASSERT_TRUE(ok(relocate(range, Location::device(0))));
  const auto other = space->allocate_on_device(0, 16 * mib);
  ASSERT_TRUE(other) << other.error().detail();
  EXPECT_GE(std::chrono::steady_clock::now() - chosen, 4 * options.stop_interval);
  EXPECT_TRUE(is_away(range));
}

TEST_F(Relocation, requesters_are_served_in_the_order_of_arrival) {
  for (const bool swapped : {false, true, false, true, true, false}) {
    open(patient());
    const Range held = mapped_on_device_0(2 * mib, {1});
    write_pattern(held, 0);
    const int owners[] = {swapped ? 3 : 2, swapped ? 2 : 3};
    std::vector<Range> ranges;
    for (const int device : owners) {
      auto range = space->allocate_mapped_on_device(device, 2 * mib, {device}, Access::write);
      ASSERT_TRUE(range) << range.error().detail();
      ranges.push_back(std::move(*range));
    }
    // Whoever has the turn waits for this kernel.
    const auto running = run_until_one(1, word(held));
    ASSERT_TRUE(running);
    ASSERT_TRUE(space->trace().start());
    std::atomic<pid_t> threads[3]{};
    const auto request = [&](std::size_t index, const Range& range) {
      return std::make_unique<Background>([&, index] {
        threads[index] = gettid();
        return relocate(range, Location::host());
      });
    };
    const auto first = request(0, held);
    ASSERT_TRUE(eventually([&] { return is_asleep(threads[0]); }));
    const auto second = request(1, ranges[0]);
    ASSERT_TRUE(eventually([&] { return is_asleep(threads[1]); }));
    const auto third = request(2, ranges[1]);
    ASSERT_TRUE(eventually([&] { return is_asleep(threads[2]); }));
    const Word one = 1;
    ASSERT_TRUE(ok(space->copy(held.data(), &one, sizeof one)));
    for (const auto* each : {&first, &second, &third}) EXPECT_TRUE(ok((*each)->result()));
    std::vector<Location> left;
    for (const Event& event : space->trace().events())
      if (event.kind == EventKind::relocation) left.push_back(event.from);
    EXPECT_THAT(left, ElementsAre(Location::device(0), Location::device(owners[0]),
                                  Location::device(owners[1])));
  }
}

TEST_F(Relocation, leased_ranges_are_passed_by) {
  const Range leased = mapped_on_device_0(14 * mib, {1});
  const Range other = mapped_on_device_0(14 * mib, {1});
  auto lease = space->lease(leased.data(), 4096, Location::device(0), Access::read);
  ASSERT_TRUE(lease);
  const auto third = space->allocate_on_device(0, 14 * mib);
  ASSERT_TRUE(third) << third.error().detail();
  EXPECT_FALSE(is_away(leased));
  EXPECT_TRUE(is_away(other));
  EXPECT_THAT(space->allocate_on_device(0, 14 * mib), fails_with(ErrorCode::out_of_device_memory));
}

TEST_F(Relocation, a_kernel_that_does_not_end_does_not_keep_others_from_being_served) {
  const Range busy = mapped_on_device_0(14 * mib, {1});
  const Range idle = mapped_on_device_0(14 * mib, {2});
  write_pattern(busy, 0);
  const auto running = run_until_one(1, word(busy));
  ASSERT_TRUE(running);
  const auto other = space->allocate_on_device(0, 8 * mib);
  ASSERT_TRUE(other) << other.error().detail();
  EXPECT_FALSE(is_away(busy));
  EXPECT_TRUE(is_away(idle));
  EXPECT_THAT(space->allocate_on_device(0, 16 * mib), fails_with(ErrorCode::out_of_device_memory))
      << "an end in time, not a wait for ever";
  EXPECT_TRUE(store(0, word(busy), 1));
  EXPECT_TRUE(ok(running->wait_for(std::chrono::seconds(60))));
}

TEST_F(Relocation, all_who_ask_at_once_are_served_or_told) {
  std::vector<Range> ranges;
  for (int i = 0; i < 6; ++i) ranges.push_back(mapped_on_device_0(2 * mib, {1, 2}));
  std::vector<std::thread> askers;
  std::atomic<int> served{0};
  for (Range& range : ranges)
    askers.emplace_back([&] {
      for (int turn = 0; turn < 4; ++turn) {
        const auto moved = relocate(range, turn % 2 == 0 ? Location::host() : Location::device(0));
        served += moved ? 1 : 0;
        if (!moved) {
          EXPECT_THAT(moved, fails_with(ErrorCode::timed_out));
        }
      }
    });
  for (std::thread& asker : askers) asker.join();
  EXPECT_GT(served, 0);
  for (const Range& range : ranges) expect_used_by(range, {0, 1, 2}, 90);
}

TEST_F(Relocation, a_launch_that_must_fit_and_a_lease_make_room_as_well) {
  SpaceOptions options = quick();
  options.overflow = Overflow::refuse;
  open(options);
  const Range range = mapped_on_device_0(24 * mib, {1});
  write_pattern(range, 5);
  const auto data = words(16 * mib);
  move_to(0, data, 8);
  EXPECT_TRUE(is_away(range));
  expect_pattern(range, 5);
  ASSERT_TRUE(ok(relocate(range, Location::device(0)))) << "what only launches brought leaves";
  EXPECT_EQ(data[mib], 8u);
  const auto lease = space->lease(data.data(), 16 * mib, Location::device(0), Access::read);
  EXPECT_TRUE(lease) << lease.error().detail();
  EXPECT_TRUE(is_away(range));
  expect_used_by(range, {0, 1}, 10);
}

TEST_F(Relocation, what_can_stay_in_host_memory_stops_no_queue) {
  const Range range = mapped_on_device_0(30 * mib, {1});
  const auto data = words(16 * mib);
  move_to(0, data, 8);
  EXPECT_FALSE(is_away(range));
  EXPECT_EQ(space->counters().queue_stops, 0u);
}

}  // namespace
}  // namespace sluice::mapping_test
