// Accesses of devices with recoverable faults: each gets done, however many pages it needs at once,
// however little memory there is, and whoever else wants the pages. plan/stalled_access.hpp says
// why; tests/plan and tests/model show it without a device.
#include <atomic>
#include <thread>
#include <vector>

#include "engine/engine_rig.hpp"

namespace sluice::engine {
namespace {

// Without strict mode and with it, where what launches do not name is told of, and brought all the
// same.
class DeviceAccesses : public EngineTest, public testing::WithParamInterface<Strict> {
 protected:
  void open_with(int devices, std::size_t budget, Overflow overflow = Overflow::map_host,
                 int recoverable = max_devices) {
    SpaceOptions options = small_devices(devices);
    options.software.recoverable_fault_devices =
        (std::uint64_t{1} << std::min(devices, recoverable)) - 1;
    options.device_budget = budget;
    options.overflow = overflow;
    options.strict = GetParam();
    open(options);
    bytes = reinterpret_cast<std::uint8_t*>(words(8 * mib));
    for (std::size_t i = 0; i < 8 * mib; i += page_size / 2) bytes[i] = 1;
    border = bytes + 2 * mib;
    result = reinterpret_cast<std::uint64_t*>(words(page_size, Kind::host));
  }

  std::uint8_t* bytes = nullptr;
  std::uint8_t* border = nullptr;  // between two blocks
  std::uint64_t* result = nullptr;
};

TEST_P(DeviceAccesses, one_that_spans_two_blocks_is_done_with_memory_for_one) {
  open_with(1, 2 * mib);
  const std::uint64_t before = 0x8877665544332211;
  std::memcpy(border - 4, &before, 8);
  expect_done(launch(0, "load", sluice_soft_load{border - 4, result, 8}, 1, {}));
  EXPECT_EQ(*result, before);
  expect_done(launch(0, "store", sluice_soft_store{border - 4, ~before, 8}, 1, {}));
  std::uint64_t after = 0;
  std::memcpy(&after, border - 4, 8);
  EXPECT_EQ(after, ~before);
  EXPECT_LE(engine->device_status(0)->in_use, 2 * mib);
}

// To be mapped in host memory, the whole block comes home, also pages that the access does not
// want and that a kernel elsewhere is writing.
TEST_P(DeviceAccesses, one_that_is_to_map_host_memory_waits_for_writers_of_the_whole_block) {
  open_with(2, 8 * mib, Overflow::map_host, 1);
  auto* const latch = reinterpret_cast<std::uint32_t*>(result);
  *latch = 0;
  const std::vector<Use> uses{Use{span(bytes, page_size), Access::write}};
  const auto waiting = launch(1, "spin", sluice_soft_spin{latch, 1}, 1, uses);
  const auto writing = launch(1, "store", sluice_soft_store{bytes, 7, 1}, 1, uses);
  ASSERT_TRUE(waiting && writing);
  std::uint8_t* const elsewhere = bytes + mib;
  ASSERT_TRUE(engine->advise(span(bytes, 2 * mib), AdviceKind::prefer, Location::host()));
  const auto host_mapped = launch(0, "store", sluice_soft_store{elsewhere, 8, 1}, 1, {});
  ASSERT_TRUE(host_mapped);
  // If it does not wait, it is done by then.
  (void)engine->wait(*host_mapped, {device::Clock::now() + std::chrono::milliseconds(200), false});
  __atomic_store_n(latch, 1U, __ATOMIC_RELEASE);
  expect_done(host_mapped);
  expect_done(writing);
  EXPECT_EQ(bytes[0], 7);
  EXPECT_EQ(*elsewhere, 8);
}

TEST_P(DeviceAccesses, one_that_can_never_fit_is_refused_with_what_it_needs) {
  open_with(1, 2 * mib, Overflow::refuse);
  testing::internal::CaptureStderr();
  const auto loading = launch(0, "load", sluice_soft_load{border - 4, result, 8}, 1, {});
  ASSERT_TRUE(loading);
  EXPECT_THAT(engine->wait(*loading, {device::Clock::now() + std::chrono::seconds(60), false}),
              fails_with(ErrorCode::device_fault));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("one access needs memory of 2 blocks at once"));
  expect_done(
      launch_in(*engine->create_queue(0), 0, "load", sluice_soft_load{border, result, 8}, 1, {}));
}

// It comes back for the first page when the others have taken its place, and each of its
// instructions needs one page.
TEST_P(DeviceAccesses, those_to_more_blocks_in_turn_than_fit_at_once_are_all_done) {
  open_with(1, 4 * mib, Overflow::refuse);
  constexpr std::size_t rounds = 8;
  std::vector<sluice_soft_node*> nodes;
  for (std::size_t i = 0; i < 4 * rounds; ++i)
    nodes.push_back(reinterpret_cast<sluice_soft_node*>(bytes + i % 4 * 2 * mib +
                                                        i / 4 * sizeof(sluice_soft_node)));
  for (std::size_t i = 0; i < nodes.size(); ++i)
    *nodes[i] = {i + 1 < nodes.size() ? nodes[i + 1] : nullptr, i};
  *result = 0;
  expect_done(launch(0, "list_walk", sluice_soft_list_walk{nodes[0], 1000, result}, 1, {}));
  EXPECT_EQ(*result, nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) EXPECT_EQ(nodes[i]->value, 1000 + i);
}

// All of them want the same two pages all the time: three devices, and the host.
TEST_P(DeviceAccesses, those_of_several_devices_and_the_host_to_the_same_pages_are_all_done) {
  open_with(3, 2 * mib);
  constexpr std::uint64_t stride = 1;
  constexpr std::uint64_t places = 64;  // from one block into the next
  std::uint8_t* const from = border - 32 - 4;
  std::atomic<bool> stop{false};
  std::jthread host([&] {
    while (!stop) {
      std::uint64_t here = 0;
      std::memcpy(&here, border - 4, 8);
      std::memcpy(border + 512, &here, 8);
      border[-512] = border[511];
    }
  });
  std::vector<std::jthread> launching;
  for (int device = 0; device < 3; ++device)
    launching.emplace_back([&, device] {
      for (std::uint64_t round = 0; round < 20; ++round)
        expect_done(launch(device, "mix", sluice_soft_mix{from, stride, round, 8}, places, {}));
    });
  launching.clear();
  stop = true;
}

// The submitter waits for room, which there is when the kernel has its answer.
TEST_P(DeviceAccesses, one_that_is_in_front_of_a_full_queue_is_answered) {
  open_with(1, 8 * mib);
  std::uint32_t* const until = words(page_size, Kind::host);
  const auto first =
      launch(0, "spin", sluice_soft_spin{until, 1}, 1, {{span(until, 4), Access::read}});
  ASSERT_TRUE(first);
  const auto stalls = launch(0, "load", sluice_soft_load{bytes, result, 1}, 1, {});
  ASSERT_TRUE(stalls);
  constexpr int launches = 1000;  // more than any queue has room for
  std::atomic<int> submitted{0};
  std::jthread submitter([&] {
    for (; submitted < launches; ++submitted) ASSERT_TRUE(launch(0, "nothing", 0, 1, {}));
  });
  int before = -1;
  ASSERT_TRUE(eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return std::exchange(before, submitted.load()) == submitted && submitted != 0;
  }));
  EXPECT_LT(submitted, launches);
  *until = 1;
  if (!eventually([&] { return submitted == launches; })) {
    ADD_FAILURE() << "the kernel waits for the submitter, and the submitter for the kernel";
    std::_Exit(1);  // they would for ever
  }
  expect_done(stalls);
  EXPECT_EQ(*result, 1U);
}

INSTANTIATE_TEST_SUITE_P(Launches, DeviceAccesses, testing::Values(Strict::off, Strict::report),
                         [](const auto& mode) {
                           return mode.param == Strict::off ? "free" : "strict";
                         });

}  // namespace
}  // namespace sluice::engine
