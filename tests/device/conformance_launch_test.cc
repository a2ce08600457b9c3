// Conformance: mappings, queues, kernels, fences, reset.
#include <atomic>
#include <thread>

#include "device/conformance.hpp"
#include "device/latch.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

constexpr std::size_t data_place = 0;

TEST_P(DeviceConformance, a_kernel_writes_where_its_allocation_is_mapped) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(block_size));
  rig.finish(rig.map(data_place, block_size, rig.on_device(allocation), Rights::write));
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), 42};
  rig.finish(rig.launch(queue, rig.kernel("fill"), arguments, 1000));
  rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(0), page_size));
  const auto* words = rig.host.alias<std::uint32_t>(0);
  EXPECT_EQ(words[0], 42U);
  EXPECT_EQ(words[999], 42U);
}

TEST_P(DeviceConformance, a_kernel_maps_host_memory) {
  Rig rig(GetParam());
  if (!rig->traits().maps_host_memory)
    GTEST_SKIP() << "this kind of device does not map host memory";
  rig.finish(rig.map(data_place, block_size, rig.on_host(data_place), Rights::write));
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), 43};
  rig.finish(rig.launch(queue, rig.kernel("fill"), arguments, 10));
  EXPECT_EQ(rig.host.alias<std::uint32_t>(data_place)[9], 43U);
}

TEST_P(DeviceConformance, a_mapping_replaces_the_one_before) {
  Rig rig(GetParam());
  const Allocation first = GET(rig->allocate(block_size));
  const Allocation second = GET(rig->allocate(block_size));
  const QueueId queue = GET(rig->create_queue());
  const KernelId fill = rig.kernel("fill");
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), 1};
  rig.finish(rig.fill(rig.on_device(first), block_size, 0));
  rig.finish(rig.fill(rig.on_device(second), block_size, 0));
  rig.finish(rig.map(data_place, block_size, rig.on_device(first), Rights::write));
  // In pieces, over the middle of the first mapping.
  const std::size_t granule = rig->traits().mapping_granule;
  const std::size_t half = std::max(granule, block_size / 2);
  rig.finish(rig.map(data_place, half, rig.on_device(second), Rights::write));
  rig.finish(rig.launch(queue, fill, arguments, 4));
  rig.finish(rig.copy(rig.on_device(first), rig.on_host(block_size), page_size));
  rig.finish(rig.copy(rig.on_device(second), rig.on_host(2 * block_size), page_size));
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(block_size), 0U);
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(2 * block_size), 1U);
}

TEST_P(DeviceConformance, rights_of_a_mapping_change_while_kernels_read_there) {
  constexpr std::size_t result_place = block_size;
  constexpr std::uint64_t items = 64 << 10;
  constexpr std::uint64_t launches = 300;
  Rig rig(GetParam());
  const Allocation data = GET(rig->allocate(block_size));
  const Allocation result = GET(rig->allocate(block_size));
  rig.finish(rig.fill(rig.on_device(data), block_size, 1));
  rig.finish(rig.fill(rig.on_device(result), block_size, 0));
  rig.finish(rig.map(data_place, block_size, rig.on_device(data), Rights::read));
  rig.finish(rig.map(result_place, block_size, rig.on_device(result), Rights::write));
  const QueueId queue = GET(rig->create_queue());
  const KernelId check_sum = rig.kernel("check_sum");
  const sluice_soft_check_sum arguments{pointer<const std::uint8_t>(rig.host.at(data_place)),
                                        pointer<std::uint64_t>(rig.host.at(result_place))};
  Fence last;
  for (std::uint64_t i = 0; i < launches; ++i)
    last = GET(rig.launch(queue, check_sum, arguments, items));
  // Beside all of them: a change and a kernel that reads meanwhile seldom meet.
  for (bool read = false; rig->poll(last) == FenceState::pending; read = !read)
    rig.finish(
        rig.map(data_place, block_size, rig.on_device(data), read ? Rights::read : Rights::write));
  rig.finish(last);
  rig.finish(rig.copy(rig.on_device(result), rig.on_host(0), page_size));
  EXPECT_EQ(*rig.host.alias<std::uint64_t>(0), launches * (items * (items + 1) / 2));
}

TEST_P(DeviceConformance, stores_to_read_only_mappings_are_refused_where_the_device_says_so) {
  Rig rig(GetParam());
  if (rig->recoverable_faults() != nullptr) GTEST_SKIP() << "the store waits for an answer";
  const Allocation allocation = GET(rig->allocate(block_size));
  rig.finish(rig.map(data_place, block_size, rig.on_device(allocation), Rights::read));
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), 42};
  const Result<void> stored = rig.outcome(rig.launch(queue, rig.kernel("fill"), arguments, 10));
  EXPECT_EQ(stored.has_value(), !rig->traits().read_only_mappings);
}

TEST_P(DeviceConformance, a_mapping_ends_and_comes_back_over_the_same_and_over_other_memory) {
  Rig rig(GetParam());
  const QueueId queue = GET(rig->create_queue());
  const KernelId fill = rig.kernel("fill");
  const auto store_through = [&](const Allocation& allocation, std::uint32_t value) {
    rig.finish(rig.map(data_place, block_size, rig.on_device(allocation), Rights::write));
    const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), value};
    rig.finish(rig.launch(queue, fill, arguments, 4));
    rig.finish(rig.map(data_place, block_size, rig.on_device(allocation), Rights::none));
    rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(block_size), page_size));
    EXPECT_EQ(*rig.host.alias<std::uint32_t>(block_size), value);
  };
  const Allocation first = GET(rig->allocate(block_size));
  const Allocation second = GET(rig->allocate(block_size));
  store_through(first, 1);
  store_through(first, 2);
  store_through(second, 3);
  rig.finish(rig.copy(rig.on_device(first), rig.on_host(block_size), page_size));
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(block_size), 2U);
  // The memory goes elsewhere, and comes back.
  rig->release(first);
  rig->release(second);
  const Allocation third = GET(rig->allocate(block_size));
  rig.finish(rig.map(2 * block_size, block_size, rig.on_device(third), Rights::write));
  const Allocation fourth = GET(rig->allocate(block_size));
  store_through(fourth, 4);
}

TEST_P(DeviceConformance, memory_for_an_address_is_memory_of_its_own) {
  constexpr std::size_t blocks = 4;
  constexpr std::size_t copied = blocks * block_size;
  Rig rig(GetParam());
  if (rig->placed_memory() != nullptr) GTEST_SKIP() << "all of its memory is for an address";
  const QueueId queue = GET(rig->create_queue());
  const KernelId fill = rig.kernel("fill");
  for (std::uint32_t round = 1; round <= 4; ++round) {
    std::vector<Allocation> live;
    for (std::size_t i = 0; i < blocks; ++i) {
      // In another order each time, and once without the address.
      const std::size_t block = (i * 3 + round) % blocks * block_size;
      live.push_back(round == 3 ? GET(rig->allocate(block_size))
                                : GET(rig->allocate_for(rig.host.at(block), block_size)));
      rig.finish(rig.map(block, block_size, rig.on_device(live.back()), Rights::write));
      const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(block)),
                                       static_cast<std::uint32_t>(10 * round + i)};
      rig.finish(rig.launch(queue, fill, arguments, block_size / sizeof(std::uint32_t)));
    }
    EXPECT_EQ(rig->memory_in_use(), blocks * block_size);
    for (std::size_t i = 0; i < blocks; ++i) {
      rig.finish(rig.copy(rig.on_device(live[i]), rig.on_host(copied), block_size));
      const auto* const words = rig.host.alias<std::uint32_t>(copied);
      EXPECT_EQ(words[0], 10 * round + i);
      EXPECT_EQ(words[block_size / sizeof(std::uint32_t) - 1], 10 * round + i);
    }
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::size_t block = (i * 3 + round) % blocks * block_size;
      rig.finish(rig.map(block, block_size, rig.on_device(live[i]), Rights::none));
      rig->release(live[i]);
    }
  }
  EXPECT_EQ(rig->memory_in_use(), 0U);
}

TEST_P(DeviceConformance, bad_mappings_are_refused) {
  Rig rig(GetParam());
  const Allocation allocation = GET(rig->allocate(block_size));
  const std::size_t granule = rig->traits().mapping_granule;
  const Place backing = rig.on_device(allocation);
  const std::size_t window = rig.host.memory().window.size;
  EXPECT_EQ(code_of(rig.map(0, 0, backing, Rights::write)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(0, granule + 1, backing, Rights::write)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(page_size / 2, granule, backing, Rights::write)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(window, block_size, backing, Rights::none)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(window - block_size, 2 * block_size, backing, Rights::none)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(0, 2 * block_size, backing, Rights::write)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(rig.map(0, granule, rig.on_device(allocation, 8), Rights::write)),
            ErrorCode::invalid_argument);
}

TEST_P(DeviceConformance, unmapping_what_is_not_mapped_is_fine) {
  Rig rig(GetParam());
  rig.finish(rig.map(0, 4 * block_size, {}, Rights::none));
}

TEST_P(DeviceConformance, a_queue_runs_in_order) {
  Rig rig(GetParam());
  rig.map_memory(data_place);
  const QueueId queue = GET(rig->create_queue());
  const KernelId fill = rig.kernel("fill");
  // More than any ring holds, without a wait: submitting waits for room.
  Fence last;
  for (std::uint32_t i = 1; i <= 3000; ++i) {
    last = GET(rig.launch(queue, fill,
                          sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(data_place)), i}));
  }
  rig.finish(last);
  EXPECT_EQ(rig.load_word(data_place), 3000U);
}

TEST_P(DeviceConformance, a_launch_waits_for_fences_of_its_device) {
  Rig rig(GetParam());
  Latch latch(rig);
  rig.map_memory(data_place);
  rig.store_word(data_place, 0);
  const QueueId first = GET(rig->create_queue());
  const QueueId second = GET(rig->create_queue());
  const Fence spinning = GET(rig.launch(first, rig.kernel("spin"), latch.arguments()));
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(data_place)), 1};
  const Fence after = GET(rig.launch(second, rig.kernel("fill"), arguments, 1, {&spinning, 1}));
  EXPECT_EQ(code_of(rig->wait(after, {.deadline = Clock::now() + std::chrono::milliseconds(20)})),
            ErrorCode::timed_out);
  EXPECT_EQ(rig->poll(after), FenceState::pending);
  EXPECT_EQ(rig.load_word(data_place), 0U);
  latch.open();
  rig.finish(after);
  EXPECT_EQ(rig->poll(spinning), FenceState::complete);
  EXPECT_EQ(rig.load_word(data_place), 1U);
}

TEST_P(DeviceConformance, a_deadline_ends_a_wait_and_the_launch_goes_on) {
  Rig rig(GetParam());
  Latch latch(rig);
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  const auto deadline = Clock::now() + std::chrono::milliseconds(30);
  EXPECT_EQ(code_of(rig->wait(fence, {.deadline = deadline})), ErrorCode::timed_out);
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_EQ(code_of(rig->wait(fence, {.deadline = Clock::now() - std::chrono::seconds(1)})),
            ErrorCode::timed_out);
  EXPECT_EQ(rig->poll(fence), FenceState::pending);
  latch.open();
  rig.finish(fence);
  EXPECT_EQ(rig->poll(fence), FenceState::complete);
}

// However many launches are pending, before or behind: each has a fence of its own.
TEST_P(DeviceConformance, a_fence_is_complete_though_later_work_of_its_queue_is_not) {
  constexpr int many = 40;
  Rig rig(GetParam());
  Latch latch(rig);
  const QueueId queue = GET(rig->create_queue());
  const auto launch_many = [&] {
    std::vector<Fence> fences;
    for (int i = 0; i < many; ++i)
      fences.push_back(GET(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}})));
    return fences;
  };
  const std::vector<Fence> before = launch_many();
  const Fence spinning = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  const std::vector<Fence> behind = launch_many();
  for (const Fence& fence : before) {
    EXPECT_TRUE(rig->wait(fence, patiently()));
    EXPECT_EQ(rig->poll(fence), FenceState::complete);
    EXPECT_FALSE(rig->may_be_pending(fence));
  }
  EXPECT_EQ(rig->poll(spinning), FenceState::pending);
  for (const Fence& fence : behind) {
    EXPECT_EQ(rig->poll(fence), FenceState::pending);
    EXPECT_TRUE(rig->may_be_pending(fence));
  }
  latch.open();
  for (const Fence& fence : behind) EXPECT_TRUE(rig->wait(fence, patiently()));
  EXPECT_EQ(rig->poll(spinning), FenceState::complete);
}

TEST_P(DeviceConformance, many_threads_wait_for_one_fence) {
  Rig rig(GetParam());
  Latch latch(rig);
  const QueueId queue = GET(rig->create_queue());
  const Fence fence = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  std::atomic<int> woken = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&] {
      if (rig->wait(fence, patiently())) ++woken;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(woken, 0);
  latch.open();
  for (auto& waiter : waiters) waiter.join();
  EXPECT_EQ(woken, 8);
}

TEST_P(DeviceConformance, queues_run_beside_each_other) {
  Rig rig(GetParam());
  Latch latch(rig);
  const QueueId blocked = GET(rig->create_queue());
  const QueueId free = GET(rig->create_queue());
  const Fence spinning = GET(rig.launch(blocked, rig.kernel("spin"), latch.arguments()));
  rig.finish(rig->launch(free, {rig.kernel("nothing"), {}, 1, {}}));
  EXPECT_EQ(rig->poll(spinning), FenceState::pending);
  latch.open();
  rig.finish(spinning);
}

TEST_P(DeviceConformance, queues_come_and_go) {
  Rig rig(GetParam());
  const KernelId nothing = rig.kernel("nothing");
  for (int round = 0; round < 100; ++round) {
    const QueueId queue = GET(rig->create_queue());
    const Fence fence = GET(rig->launch(queue, {nothing, {}, 1, {}}));
    rig->destroy_queue(queue);
    rig.finish(fence);
    EXPECT_EQ(code_of(rig->launch(queue, {nothing, {}, 1, {}})), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(code_of(rig->launch(QueueId{9999}, {nothing, {}, 1, {}})), ErrorCode::invalid_argument);
}

TEST_P(DeviceConformance, unknown_kernels_have_names) {
  Rig rig(GetParam());
  const auto kernel = rig->find_kernel(GetParam().module, "no_such_kernel");
  EXPECT_EQ(code_of(kernel), ErrorCode::unknown_kernel);
  EXPECT_NE(detail_of(kernel).find("no_such_kernel"), std::string::npos);
  const auto module = rig->find_kernel("/no/such/module.so", "fill");
  EXPECT_EQ(code_of(module), ErrorCode::unknown_kernel);
  EXPECT_NE(detail_of(module).find("/no/such/module.so"), std::string::npos);
  const QueueId queue = GET(rig->create_queue());
  EXPECT_EQ(code_of(rig->launch(queue, {KernelId{}, {}, 1, {}})), ErrorCode::unknown_kernel);
}

TEST_P(DeviceConformance, arguments_up_to_the_limit) {
  Rig rig(GetParam());
  const QueueId queue = GET(rig->create_queue());
  const KernelId nothing = rig.kernel("nothing");
  const std::vector<std::byte> most(rig->traits().argument_limit);
  rig.finish(rig->launch(queue, {nothing, most, 1, {}}));
  const std::vector<std::byte> more(rig->traits().argument_limit + 1);
  EXPECT_EQ(code_of(rig->launch(queue, {nothing, more, 1, {}})), ErrorCode::invalid_argument);
}

TEST_P(DeviceConformance, fences_of_nobody_are_refused) {
  Rig rig(GetParam());
  const QueueId queue = GET(rig->create_queue());
  const Fence real = GET(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
  rig.finish(real);
  Fence future = real;
  future.value += 1000;
  Fence foreign = real;
  foreign.device = 5;
  Fence nowhere = real;
  nowhere.timeline = 9999;
  for (const Fence& fence : {future, foreign, nowhere}) {
    EXPECT_EQ(code_of(rig->wait(fence, patiently())), ErrorCode::invalid_argument);
    EXPECT_EQ(rig->poll(fence), FenceState::failed);
  }
}

TEST_P(DeviceConformance, reset_gives_an_empty_device_with_its_queues) {
  Rig rig(GetParam());
  const QueueId queue = GET(rig->create_queue());
  const Allocation old = GET(rig->allocate(block_size));
  const KernelId stale = rig.kernel("nothing");
  const Fence before = GET(rig->launch(queue, {stale, {}, 1, {}}));
  rig.finish(before);
  GET(rig->reset());
  EXPECT_FALSE(rig->lost());
  EXPECT_EQ(rig->memory_in_use(), 0U);
  EXPECT_EQ(rig->poll(before), FenceState::complete);
  EXPECT_EQ(code_of(rig.copy(rig.on_host(0), rig.on_device(old), page_size)),
            ErrorCode::invalid_argument);
  rig->release(old);
  EXPECT_EQ(code_of(rig->launch(queue, {stale, {}, 1, {}})), ErrorCode::unknown_kernel);
  const Fence after = GET(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
  rig.finish(after);
  EXPECT_GT(after.value, before.value);
}

}  // namespace
}  // namespace sluice::device::testing
