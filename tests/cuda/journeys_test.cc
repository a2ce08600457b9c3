// The journeys on NVIDIA GPUs: one pointer, written and read from either side, over one device and
// over several.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cuda/cuda_rig.hpp"

namespace sluice::cuda_tests {
namespace {

class CudaJourneys : public OnGpus {};

TEST_F(CudaJourneys, the_host_reads_what_a_kernel_wrote) {
  const Space space = open(1);
  const auto words = need(space.buffer<std::uint32_t>(5 * mib + 3));
  fill(space, 0, words.data(), words.size(), 7);
  EXPECT_EQ(need(space.residency(words.data(), words.size() * 4)).host, 0U);
  for (std::size_t i = 0; i < words.size(); ++i) ASSERT_EQ(words.data()[i], 7U) << i;
  EXPECT_EQ(space.check(), std::nullopt);
}

TEST_F(CudaJourneys, a_kernel_reads_what_the_host_wrote) {
  const Space space = open(1);
  const auto from = need(space.buffer<std::uint32_t>(3 * mib + 1));
  const auto sum = need(space.buffer<std::uint64_t>(1));
  for (int round = 1; round <= 3; ++round) {
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
      from.data()[i] = static_cast<std::uint32_t>(i * static_cast<std::size_t>(round));
      expected += from.data()[i];
    }
    *sum.data() = 0;
    const Queue queue = need(space.queue(0));
    need(queue.launch(need(queue.kernel("reduce")))
             .reads(from)
             .writes(sum)
             .arguments(sluice_soft_reduce{from.data(), sum.data()})
             .items(from.size())
             .submit());
    EXPECT_EQ(*sum.data(), expected);
  }
}

TEST_F(CudaJourneys, pointers_inside_managed_memory_may_be_followed) {
  const Space space = open(1);
  constexpr std::size_t nodes = 1000;
  const auto list = need(space.buffer<sluice_soft_node>(nodes * 50));
  const auto count = need(space.buffer<std::uint64_t>(1));
  for (std::size_t i = 0; i < nodes; ++i)
    list.data()[i * 50] = {i + 1 < nodes ? &list.data()[(i + 1) * 50] : nullptr, i};
  const Queue queue = need(space.queue(0));
  need(queue.launch(need(queue.kernel("list_walk")))
           .every_shared_range()
           .arguments(sluice_soft_list_walk{list.data(), 5, count.data()})
           .submit());
  EXPECT_EQ(*count.data(), nodes);
  for (std::size_t i = 0; i < nodes; ++i) ASSERT_EQ(list.data()[i * 50].value, i + 5);
}

TEST_F(CudaJourneys, host_ranges_are_used_by_host_and_kernel_at_once) {
  const Space space = open(1);
  const auto word = need(space.buffer<std::uint32_t>(1, Kind::host));
  *word.data() = 0;
  const Queue queue = need(space.queue(0));
  const Fence fence = need(queue.launch(need(queue.kernel("spin")))
                               .reads(word)
                               .arguments(sluice_soft_spin{word.data(), 9})
                               .submit());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(fence.done());
  __atomic_store_n(word.data(), 9, __ATOMIC_RELEASE);
  need(fence.wait());
}

TEST_F(CudaJourneys, two_devices_hand_a_range_over) {
  const Space space = open(2);
  const auto words = need(space.buffer<std::uint32_t>(4 * mib));
  for (std::uint32_t round = 1; round <= 4; ++round) {
    fill(space, static_cast<int>(round % 2), words.data(), words.size() / 2, round);
    fill(space, static_cast<int>((round + 1) % 2), words.data() + words.size() / 4,
         words.size() / 2, round + 100);
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint32_t expected = i < words.size() / 4 ? 4 : i < words.size() / 4 * 3 ? 104 : 0;
    ASSERT_EQ(words.data()[i], expected) << i;
  }
  EXPECT_EQ(space.check(), std::nullopt);
}

TEST_F(CudaJourneys, what_does_not_fit_a_launch_stays_in_host_memory) {
  SpaceOptions small = options(1, 16 * mib);
  small.overflow = Overflow::map_host;
  const Space space = need(Space::open(small));
  const auto words = need(space.buffer<std::uint32_t>(8 * mib));  // 32 MiB
  for (std::uint32_t round = 1; round <= 3; ++round) {
    fill(space, 0, words.data(), words.size(), round);
    for (std::size_t i = 0; i < words.size(); i += 1024) ASSERT_EQ(words.data()[i], round) << i;
  }
  EXPECT_LE(need(space.device(0)).in_use, 16 * mib);
  EXPECT_EQ(space.check(), std::nullopt);
}

TEST_F(CudaJourneys, what_is_leased_there_stays_there_when_room_comes_back) {
  SpaceOptions small = options(1, 16 * mib);
  small.overflow = Overflow::map_host;
  const Space space = need(Space::open(small));
  const Queue queue = need(space.queue(0));
  const Kernel nothing = need(queue.kernel("nothing"));
  const auto held = need(space.buffer<std::uint32_t>(mib / 2));
  {
    const auto large = need(space.buffer<std::uint32_t>(4 * mib));  // all of the budget
    need(need(queue.launch(nothing).writes(large).writes(held).items(1).submit()).wait());
    fill(space, 0, held.data(), held.size(), 5);
  }
  const Lease lease =
      need(space.lease(held.data(), held.size() * 4, Location::device(0), Access::read));
  const Counters before = space.counters();
  need(need(queue.launch(nothing).reads(held).items(1).submit()).wait());
  EXPECT_EQ(space.counters().bytes_to_host, before.bytes_to_host);
  EXPECT_EQ(space.counters().bytes_to_devices, before.bytes_to_devices);
  EXPECT_EQ(held.data()[77], 5U);
}

TEST_F(CudaJourneys, a_device_without_room_borrows_what_comes_back_again_and_again) {
  SpaceOptions small = options(2, 16 * mib);
  small.overflow = Overflow::map_host;
  const Space space = need(Space::open(small));
  auto held = need(space.buffer<std::uint32_t>(mib / 2));
  {
    const auto large = need(space.buffer<std::uint32_t>(4 * mib));  // all of the budget
    const Queue queue = need(space.queue(1));
    const Kernel nothing = need(queue.kernel("nothing"));
    for (std::uint32_t turn = 1; turn <= 5; ++turn) {
      fill(space, 0, held.data(), held.size(), turn);
      need(need(queue.launch(nothing).writes(large).writes(held).items(1).submit()).wait());
    }
    for (std::size_t i = 0; i < held.size(); ++i) ASSERT_EQ(held.data()[i], 5U) << i;
  }
  EXPECT_GT(space.counters().borrowed_blocks, 0U);
  need(held.free());
  for (const int device : {0, 1}) EXPECT_EQ(need(space.device(device)).in_use, 0U);
}

TEST_F(CudaJourneys, or_refused_before_anything_moved) {
  SpaceOptions small = options(1, 16 * mib);
  small.overflow = Overflow::refuse;
  const Space space = need(Space::open(small));
  const auto words = need(space.buffer<std::uint32_t>(8 * mib));
  words.data()[5] = 5;
  const Queue queue = need(space.queue(0));
  const auto refused = queue.launch(need(queue.kernel("fill")))
                           .writes(words)
                           .arguments(sluice_soft_fill{words.data(), 1})
                           .items(words.size())
                           .submit();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::out_of_device_memory);
  EXPECT_EQ(words.data()[5], 5U);
}

TEST_F(CudaJourneys, blocks_leave_in_order_of_last_use) {
  const Space space = open(1, 32 * mib);
  std::vector<Buffer<std::uint32_t>> buffers;
  for (int i = 0; i < 8; ++i) buffers.push_back(need(space.buffer<std::uint32_t>(2 * mib)));
  for (std::uint32_t round = 1; round <= 3; ++round)
    for (auto& buffer : buffers) fill(space, 0, buffer.data(), buffer.size(), round);
  for (auto& buffer : buffers)
    for (std::size_t i = 0; i < buffer.size(); i += 512) ASSERT_EQ(buffer.data()[i], 3U);
  EXPECT_GT(space.counters().evicted_blocks, 0U);
}

TEST_F(CudaJourneys, discarded_bytes_read_as_zeros) {
  const Space space = open(1);
  const auto words = need(space.buffer<std::uint32_t>(2 * mib));
  for (std::uint32_t round = 1; round <= 3; ++round) {
    fill(space, 0, words.data(), words.size(), round);
    for (std::size_t i = 0; i < words.size(); i += 1024) ASSERT_EQ(words.data()[i], round);
    need(space.discard(words.data(), words.size() * 2));
    EXPECT_EQ(words.data()[0], 0U);
    fill(space, 0, words.data() + words.size() / 2, words.size() / 2, round + 1);
    EXPECT_EQ(words.data()[1024], 0U);
  }
}

TEST_F(CudaJourneys, ranges_come_and_go) {
  const Space space = open(1);
  for (std::uint32_t round = 1; round <= 20; ++round) {
    const auto words = need(space.buffer<std::uint32_t>(mib));
    for (std::size_t i = 0; i < words.size(); i += 1024) ASSERT_EQ(words.data()[i], 0U);
    words.data()[0] = 3;
    fill(space, 0, words.data() + 1, words.size() - 1, round);
    EXPECT_EQ(words.data()[0], 3U);
    EXPECT_EQ(words.data()[words.size() - 1], round);
  }
  EXPECT_EQ(need(space.device(0)).in_use, 0U);
}

// Their host bytes follow each other, but each range's are pinned, and later forgotten, by
// themselves.
TEST_F(CudaJourneys, ranges_side_by_side_move_together) {
  const Space space = open(1);
  std::vector<Buffer<std::uint32_t>> buffers;
  for (std::uint32_t i = 0; i < 6; ++i) {
    buffers.push_back(need(space.buffer<std::uint32_t>(mib / (i % 2 + 1))));
    std::fill(buffers[i].data(), buffers[i].data() + buffers[i].size(), i);
  }
  const Queue queue = need(space.queue(0));
  const Kernel nothing = need(queue.kernel("nothing"));
  need(need(queue.launch(nothing).every_shared_range().submit()).wait());
  buffers.erase(buffers.begin() + 1);
  for (std::uint32_t i = 0; i < 5; ++i) ASSERT_EQ(buffers[i].data()[mib / 4], i == 0 ? 0 : i + 1);
}

TEST_F(CudaJourneys, prefetch_moves_both_ways) {
  const Space space = open(1);
  const auto words = need(space.buffer<std::uint32_t>(8 * mib));
  for (std::size_t i = 0; i < words.size(); ++i) words.data()[i] = static_cast<std::uint32_t>(i);
  need(need(space.prefetch(words, Location::device(0))).wait());
  EXPECT_EQ(need(space.residency(words.data(), words.size() * 4)).device[0],
            words.size() * 4 / 4096);
  fill(space, 0, words.data(), 100, 1);
  need(need(space.prefetch(words, Location::host())).wait());
  EXPECT_EQ(need(space.residency(words.data(), words.size() * 4)).host, words.size() * 4 / 4096);
  EXPECT_EQ(words.data()[99], 1U);
  EXPECT_EQ(words.data()[100], 100U);
}

TEST_F(CudaJourneys, a_killed_process_leaves_the_gpu_s_memory_free) {
  // A program of its own: the driver does not survive a fork.
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "cuda_test", "--gtest_filter=*CudaVictim*",
          "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  const auto& driver = *need(device::cuda::Driver::load());
  device::cuda::CUcontext context = nullptr;
  ASSERT_EQ(driver.context_retain(&context, 0), 0);
  {
    const device::cuda::CurrentContext current(driver, context);
    std::size_t free = 0;
    std::size_t total = 0;
    // The driver gives it back when it has noticed.
    for (int i = 0; i < 300 && free < total / 10 * 9 + 1; ++i) {
      ASSERT_EQ(driver.memory_info(&free, &total), 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    EXPECT_GT(free, total / 10 * 9);
  }
  driver.context_release(0);
}

// Takes 32 GiB of the GPU, and dies in the middle of moving them.
class CudaVictim : public OnGpus {};
TEST_F(CudaVictim, DISABLED_dies) {
  const std::size_t size = std::size_t{32} << 30;
  const Space space = open(1, size);
  const auto words = need(space.buffer<std::uint32_t>(size / 8));
  fill(space, 0, words.data(), words.size(), 1);
  std::thread reader([&] {
    volatile std::uint32_t sum = 0;
    for (std::size_t i = 0; i < words.size(); i += 1024) sum = sum + words.data()[i];
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(getpid(), SIGKILL);
}

}  // namespace
}  // namespace sluice::cuda_tests
