// The two journeys: what the host sees of kernels, what kernels see of the host, and who holds what
// in between.
#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

using testing::HasSubstr;

class Journeys : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(3)); }
};

TEST_F(Journeys, host_writes_kernel_adds_host_reads) {
  std::uint32_t* data = words(5 * mib + 12345 * 4);
  const std::size_t count = (5 * mib + 12345 * 4) / 4;
  for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<std::uint32_t>(i);
  for (int device = 0; device < 3; ++device) {
    const sluice_soft_mix mix{reinterpret_cast<std::uint8_t*>(data), 4, 7, 4};
    expect_done(launch(device, "mix", mix, count, {{span(data, count * 4), Access::write}}));
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t value = i;
    for (int device = 0; device < 3; ++device)
      value = static_cast<std::uint32_t>(sluice_soft_mixed(value, 7, i));
    ASSERT_EQ(data[i], value) << i;
  }
}

TEST_F(Journeys, reads_by_the_host_leave_the_devices_copy_valid) {
  std::uint32_t* data = words(mib);
  expect_done(fill(0, data, mib, 5));
  EXPECT_EQ(holders(data), LocationSet(Location::device(0)));
  EXPECT_EQ(data[0], 5u);
  LocationSet both(Location::host());
  if (engine->status().shares_reads) both.insert(Location::device(0));
  EXPECT_EQ(holders(data), both);
  data[0] = 6;
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  EXPECT_EQ(data[1], 5u);
}

TEST_F(Journeys, pages_never_written_read_as_zeros_everywhere_and_move_nothing) {
  std::uint32_t* data = words(4 * mib);
  std::uint64_t* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  expect_done(launch(1, "reduce", sluice_soft_reduce{data, sum}, mib,
                     {{span(data, 4 * mib), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 0u);
  EXPECT_EQ(engine->observer().read_counters().bytes_to_devices, 0u);
}

TEST_F(Journeys, devices_share_what_they_only_read) {
  std::uint32_t* data = words(mib);
  auto* sums = reinterpret_cast<std::uint64_t*>(words(3 * 4096, Kind::host));
  for (std::size_t i = 0; i < mib / 4; ++i) data[i] = 1;
  for (int device = 0; device < 3; ++device)
    expect_done(launch(device, "reduce", sluice_soft_reduce{data, sums + device}, mib / 4,
                       {{span(data, mib), Access::read}, {span(sums, 24), Access::write}}));
  for (int device = 0; device < 3; ++device) EXPECT_EQ(sums[device], mib / 4);
  EXPECT_EQ(holders(data).size(), 4);
  EXPECT_EQ(data[7], 1u);
}

TEST_F(Journeys, two_devices_own_parts_of_one_page_run) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, mib, 1));
  expect_done(fill(1, data + mib / 4, mib, 2));
  EXPECT_EQ(holders(data), LocationSet(Location::device(0)));
  EXPECT_EQ(holders(data + mib / 4), LocationSet(Location::device(1)));
  // The second round has nothing to move, although neither device holds the whole block.
  const auto before = engine->observer().read_counters();
  expect_done(fill(0, data, mib, 3));
  expect_done(fill(1, data + mib / 4, mib, 4));
  EXPECT_EQ(engine->observer().read_counters().bytes_between_devices, before.bytes_between_devices);
  EXPECT_EQ(data[0], 3u);
  EXPECT_EQ(data[mib / 4], 4u);
}

TEST_F(Journeys, a_host_access_waits_for_the_kernel_that_may_write_the_page) {
  std::uint32_t* data = words(4 * mib);
  std::uint32_t* go = words(4096, Kind::host);
  data[0] = 1;
  auto running = occupy(0, data, mib, go);
  ASSERT_TRUE(running);
  std::atomic<bool> read{false};
  std::thread reader([&] {
    EXPECT_EQ(data[0], 1u);
    read = true;
  });
  // What the kernel does not name can be touched while it runs.
  data[mib] = 9;
  EXPECT_EQ(data[mib], 9u);
  EXPECT_FALSE(read);
  EXPECT_EQ(engine->poll(*running), device::FenceState::pending);
  *static_cast<volatile std::uint32_t*>(go) = 1;
  reader.join();
  expect_done(running);
}

TEST_F(Journeys, launches_on_one_page_run_in_the_order_of_submission) {
  std::uint32_t* data = words(4096);
  const auto second = engine->create_queue(0);
  ASSERT_TRUE(second);
  for (std::uint32_t round = 0; round < 50; ++round) {
    const auto slow =
        launch(0, "sleep", sluice_soft_sleep{2'000'000}, 1, {{span(data, 4096), Access::write}});
    ASSERT_TRUE(slow);
    const sluice_soft_fill arguments{data, round};
    const Use use{span(data, 4096), Access::write};
    LaunchRequest request;
    request.device = 0;
    request.queue = *second;
    request.kernel = *engine->find_kernel(0, "", "fill");
    request.arguments = std::as_bytes(std::span(&arguments, 1));
    request.items = 1024;
    request.uses = {&use, 1};
    const auto filled = engine->launch(request);
    ASSERT_TRUE(filled);
    expect_done(filled);
    EXPECT_NE(engine->poll(*slow), device::FenceState::pending);
    expect_done(fill(1, data + 512, 4, round + 1));
    ASSERT_EQ(data[0], round);
    ASSERT_EQ(data[512], round + 1);
  }
}

// More queues than a launch has fixed places for fences, on one page: the order of submission still
// holds.
TEST_F(Journeys, many_queues_take_turns_on_one_page) {
  std::uint32_t* data = words(4096);
  std::vector<device::QueueId> queues;
  for (int i = 0; i < 20; ++i) {
    const auto queue = engine->create_queue(0);
    ASSERT_TRUE(queue) << queue.error().detail();
    queues.push_back(*queue);
  }
  const auto mix = engine->find_kernel(0, "", "mix");
  ASSERT_TRUE(mix);
  std::uint64_t expected = 0;
  device::Fence last;
  for (std::uint64_t round = 0; round < 200; ++round) {
    const sluice_soft_mix arguments{reinterpret_cast<std::uint8_t*>(data), 4, round, 4};
    const Use use{span(data, 4), Access::write};
    LaunchRequest request;
    request.queue = queues[round * 7 % queues.size()];
    request.kernel = *mix;
    request.arguments = std::as_bytes(std::span(&arguments, 1));
    request.uses = {&use, 1};
    const auto fence = engine->launch(request);
    ASSERT_TRUE(fence) << fence.error().detail();
    last = *fence;
    expected = static_cast<std::uint32_t>(sluice_soft_mixed(expected, round, 0));
  }
  expect_done(last);
  EXPECT_EQ(data[0], expected);
}

// All that a launch names must be there at once, also a part of a block that was there when the
// launch first looked and was taken back while it waited for its turn at another block.
TEST_F(Journeys, a_launch_brings_back_what_was_taken_while_it_waited) {
  std::uint32_t* data = words(4 * mib);
  std::uint32_t* second = data + 2 * mib / 4;
  std::uint32_t* from = second + mib / 8;
  std::uint32_t* hosts = second + mib / 4;
  auto* sum = reinterpret_cast<std::uint64_t*>(hosts + 16);
  data[0] = 1;
  expect_done(fill(0, second, 2 * mib, 0));
  from[0] = 1;
  // The first block is on its way for a while, and the launch has to wait for it.
  ASSERT_TRUE(engine->plan_faults(0, "step=copy nth=1 action=slow=500"));
  ASSERT_TRUE(engine->prefetch(span(data, 2 * mib), Location::device(0)));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::jthread launching([&] {
    expect_done(launch(0, "check_sum",
                       sluice_soft_check_sum{reinterpret_cast<std::uint8_t*>(from), sum}, 1,
                       {{span(data, 4), Access::read},
                        {span(from, 4), Access::read},
                        {span(sum, 8), Access::write}}));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  *hosts = 5;
  launching.join();
  EXPECT_EQ(*sum, 1u);
  EXPECT_EQ(*hosts, 5u);
}

TEST_F(Journeys, every_shared_range_is_there_for_indirect_access) {
  const int nodes = 1000;
  std::vector<sluice_soft_node*> list;
  for (int i = 0; i < nodes; ++i) {
    if (i % 100 == 0)
      list.push_back(reinterpret_cast<sluice_soft_node*>(words(100 * sizeof(sluice_soft_node))));
  }
  sluice_soft_node* head = nullptr;
  for (int i = 0; i < nodes; ++i) {
    sluice_soft_node* node =
        list[static_cast<std::size_t>(i) % list.size()] + i / static_cast<int>(list.size());
    *node = {head, static_cast<std::uint64_t>(i)};
    head = node;
  }
  auto* count = reinterpret_cast<std::uint64_t*>(words(4096));
  for (int device = 0; device < 3; ++device) {
    *count = 0;
    expect_done(launch(device, "list_walk", sluice_soft_list_walk{head, 10, count}, 1, {}, true));
    EXPECT_EQ(*count, static_cast<std::uint64_t>(nodes));
  }
  std::uint64_t expected = nodes;
  for (sluice_soft_node* node = head; node != nullptr; node = node->next)
    ASSERT_EQ(node->value, --expected + 30);
}

TEST_F(Journeys, sequential_reading_is_answered_ahead) {
  const std::size_t size = 16 * mib;
  std::uint32_t* data = words(size);
  expect_done(fill(0, data, size, 3));
  const auto before = engine->observer().read_counters().cpu_faults;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < size / 4; i += 1024) sum += data[i];
  EXPECT_EQ(sum, 3 * size / 4096);
  EXPECT_LT(engine->observer().read_counters().cpu_faults - before, size / mib * 2);
}

TEST_F(Journeys, the_rest_of_a_block_follows_readers_in_no_order) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 3));
  for (const std::size_t page : {500, 10, 300, 150, 400}) ASSERT_EQ(data[page * 1024], 3U);
  const auto arrived = [&] { return holders(data + std::size_t{200} * 1024).has_host(); };
  EXPECT_TRUE(eventually(arrived));
  EXPECT_TRUE(holders(data + std::size_t{200} * 1024).contains(Location::device(0)))
      << "readers leave its copy";
}

// A range whose blocks were wanted whole is brought by whole blocks, until they are not wanted any
// more.
TEST_F(Journeys, a_range_that_was_read_whole_is_brought_whole) {
  constexpr std::size_t blocks = 8;
  std::uint32_t* data = words(blocks * 2 * mib);
  const auto page = [&](std::size_t block, std::size_t number) {
    return data + block * (2 * mib / 4) + number * 1024;
  };
  const auto is_here = [&](std::size_t block) { return holders(page(block, 200)).has_host(); };
  // How many blocks came, of which the host asked for these pages alone.
  const auto come = [&](std::uint32_t value, std::initializer_list<std::size_t> pages,
                        std::size_t expected) {
    expect_done(fill(0, data, blocks * 2 * mib, value));
    for (std::size_t block = blocks; block-- > 0;)  // backward: in no order
      for (const std::size_t number : pages) EXPECT_EQ(*page(block, number), value);
    std::size_t here = 0;
    const auto count = [&] {
      here = 0;
      for (std::size_t block = 0; block < blocks; ++block) here += is_here(block) ? 1 : 0;
      return here >= expected;
    };
    EXPECT_TRUE(eventually(count)) << here << " of " << expected;
    return here;
  };
  EXPECT_EQ(come(1, {300}, 0), 0U);
  for (std::uint32_t round = 2; round < 4; ++round)
    EXPECT_EQ(come(round, {500, 10, 300, 150, 400}, blocks), blocks);
  EXPECT_GE(come(4, {300}, blocks - 1), blocks - 1) << "but for one in eight, to learn from";
  for (std::uint32_t round = 5; round < 15; ++round) (void)come(round, {300}, 0);
  EXPECT_EQ(come(15, {300}, 0), 0U);
}

// However the bytes came to the device.
TEST_F(Journeys, a_reader_that_returns_is_read_ahead_of_again) {
  const std::size_t size = 16 * mib;
  std::uint32_t* data = words(size);
  // Which block it is depends on how fast the ones before it come.
  const auto came_ahead = [&] {
    for (const std::size_t at : {10 * mib, 12 * mib, 14 * mib})
      if (holders(data + at / 4).has_host()) return true;
    return false;
  };
  expect_done(fill(0, data, size, 3));
  for (int pass = 0; pass < 3; ++pass) {
    for (std::size_t i = 0; i < 10 * mib / 4; i += 1024) ASSERT_EQ(data[i], 3U);
    EXPECT_TRUE(eventually(came_ahead)) << "in pass " << pass;
    expect_done(engine->prefetch(span(data, size), Location::device(0)));
  }
}

TEST_F(Journeys, explain_says_who_holds_a_page) {
  std::uint32_t* data = words(mib);
  expect_done(fill(2, data, mib, 1));
  const std::string text = engine->explain(Address::of(data + 3));
  EXPECT_THAT(text, HasSubstr("byte 12 of the shared range"));
  EXPECT_THAT(text, HasSubstr("copies: device 2"));
  EXPECT_THAT(engine->explain(Address{16}), HasSubstr("not managed memory"));
}

TEST_F(Journeys, an_access_that_waits_too_long_is_denied_if_so_configured) {
  SpaceOptions options = small_devices(1);
  options.access_timeout = std::chrono::milliseconds(50);
  options.stuck = Stuck::deny;
  open(options);
  std::uint32_t* data = words(4096);
  std::uint32_t* go = words(4096, Kind::host);
  const auto running = occupy(0, data, 4096, go);
  ASSERT_TRUE(running);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(load_dies(data));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("waits for"), HasSubstr("a kernel on device 0"),
                             HasSubstr("The access is denied")));
  *static_cast<volatile std::uint32_t*>(go) = 1;
  expect_done(running);
}

// The host does not wait for kernels that only read: they keep the bytes that they began with. So
// newer bytes may come to their device only when they have ended.
TEST_F(Journeys, a_kernel_that_reads_keeps_its_bytes_while_newer_ones_are_asked_for) {
  std::uint32_t* data = words(4096);
  std::uint32_t* seen = words(4096);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  std::uint32_t* go = words(4096, Kind::host);
  const auto other = engine->create_queue(0);
  ASSERT_TRUE(other);
  data[0] = 1;
  ASSERT_TRUE(launch(0, "spin", sluice_soft_spin{go, 1}, 1, {{span(go, 4), Access::read}}));
  const auto copied = launch(0, "copy", sluice_soft_copy{seen, data}, 4,
                             {{span(data, 4), Access::read}, {span(seen, 4), Access::write}});
  ASSERT_TRUE(copied);
  data[0] = 2;
  std::jthread asking([&] {
    expect_done(launch_in(*other, 0, "reduce", sluice_soft_reduce{data, sum}, 1,
                          {{span(data, 4), Access::read}, {span(sum, 8), Access::write}}));
  });
  const auto newer = engine->prefetch(span(data, 4), Location::device(0));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  *static_cast<volatile std::uint32_t*>(go) = 1;
  expect_done(copied);
  expect_done(newer);
  asking.join();
  EXPECT_EQ(seen[0], 1u);
  EXPECT_EQ(*sum, 2u);
}

// Devices with recoverable faults get pages on demand, and may spin on what the host writes.
TEST_F(Journeys, a_device_with_recoverable_faults_needs_no_launch_plan) {
  SpaceOptions options = small_devices(2);
  options.software.recoverable_fault_devices = 1;
  open(options);
  std::uint32_t* data = words(8 * mib);
  for (std::size_t i = 0; i < 2 * mib; ++i) data[i] = 2;
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, 2 * mib, {}, true));
  EXPECT_EQ(*sum, 4 * mib);
  EXPECT_GT(engine->observer().read_counters().gpu_faults, 0u);

  const auto spinning = launch(0, "spin", sluice_soft_spin{data, 77}, 1, {}, true);
  ASSERT_TRUE(spinning);
  *static_cast<volatile std::uint32_t*>(data) = 77;
  expect_done(spinning);
  expect_done(fill(1, data, 4 * mib, 8));
  *sum = 0;
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, mib, {}, true));
  EXPECT_EQ(*sum, 8 * mib);
}

// Its page table has granules of several pages; lowering one must not open the pages of it that the
// device has no right to.
TEST_F(Journeys, a_device_with_recoverable_faults_does_not_read_what_was_discarded) {
  SpaceOptions options = small_devices(1);
  options.software.recoverable_fault_devices = 1;
  open(options);
  constexpr std::size_t page = page_size / 4;  // words
  std::uint32_t* data = words(16 * page_size);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096, Kind::host));
  expect_done(launch(0, "fill", sluice_soft_fill{data, 7}, 16 * page, {}, true));
  ASSERT_TRUE(engine->discard(span(data + 3 * page, page_size)));
  EXPECT_EQ(data[0], 7u);  // the device keeps the right to read, of all but the discarded page
  expect_done(launch(0, "reduce", sluice_soft_reduce{data + 3 * page, sum}, page, {}, true));
  EXPECT_EQ(*sum, 0u);
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, 16 * page, {}, true));
  EXPECT_EQ(*sum, 15u * 7u * page);
}

// To leave it the right to read is a change of rights alone, which no device refuses.
TEST_F(Journeys, a_host_access_needs_no_new_mapping_on_a_device_with_recoverable_faults) {
  SpaceOptions options = small_devices(1);
  options.software.recoverable_fault_devices = 1;
  open(options);
  std::uint32_t* data = words(16 * page_size);
  expect_done(launch(0, "fill", sluice_soft_fill{data, 7}, 4 * page_size, {}, true));
  ASSERT_TRUE(engine->plan_faults(0, "step=map every=1 action=fail"));
  EXPECT_EQ(data[0], 7u);
  data[0] = 8;
  ASSERT_TRUE(engine->plan_faults(0, ""));
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096, Kind::host));
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, 4 * page_size, {}, true));
  EXPECT_EQ(*sum, 4 * page_size * 7u + 1);
}

}  // namespace
}  // namespace sluice::engine
