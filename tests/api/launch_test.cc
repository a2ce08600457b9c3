// Kernels, queues and launches: what a launch may name, what it must not, and what it leaves
// behind.
#include <array>
#include <atomic>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using testing::Each;

class LaunchTest : public ApiTest {
 protected:
  Kernel kernel(const char* name) const { return take(queue.kernel(name)); }
  static std::span<const std::byte> bytes(const std::byte* begin, std::size_t size) {
    return {begin, size};
  }
};

TEST_F(LaunchTest, kernels_are_found_by_name) {
  EXPECT_EQ(kernel("fill").device(), 0);
  EXPECT_EQ(take(space.kernel(0, "", "fill")), kernel("fill"));
  EXPECT_EQ(take(space.kernel(1, "", "fill")).device(), 1);
  EXPECT_EQ(take(queue.kernel(SLUICE_KERNELS, "fill")).device(), 0);
}

TEST_F(LaunchTest, kernels_that_are_not_there_are_named) {
  EXPECT_THAT(queue.kernel("flil"), refuses(ErrorCode::unknown_kernel, "flil"));
  EXPECT_THAT(queue.kernel(""), refuses(ErrorCode::unknown_kernel, ""));
  EXPECT_THAT(queue.kernel("/no/such/module.so", "fill"),
              refuses(ErrorCode::unknown_kernel, "/no/such/module.so"));
  EXPECT_THAT(queue.kernel(SLUICE_KERNELS, "flil"), refuses(ErrorCode::unknown_kernel, "flil"));
  EXPECT_THAT(space.kernel(7, "", "fill"), refuses(ErrorCode::unknown_device, "7"));
  EXPECT_THAT(space.queue(-1), refuses(ErrorCode::unknown_device, "-1"));
  EXPECT_THAT(space.queue(2), refuses(ErrorCode::unknown_device, "2"));
}

TEST_F(LaunchTest, names_and_arguments_may_lie_in_managed_memory_that_a_device_holds) {
  const auto target = words(1000);
  const auto arguments = take(space.buffer<sluice_soft_fill>(1));
  const auto name = take(space.buffer<char>(5));
  std::copy_n("fill", 5, name.data());
  arguments[0] = {target.data(), 77};
  EXPECT_TRUE(ok(take(space.prefetch(arguments, Location::device(1))).wait()));
  EXPECT_TRUE(ok(take(space.prefetch(name, Location::device(1))).wait()));
  const Fence fence = take(queue.launch(take(queue.kernel(name.data())))
                               .writes(target)
                               .arguments(arguments[0])
                               .items(1000)
                               .submit());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_THAT(target.span(), Each(77U));
}

TEST_F(LaunchTest, arguments_are_copied_when_they_are_named) {
  const auto target = words(100);
  sluice_soft_fill arguments{target.data(), 5};
  const Kernel fill_kernel = kernel("fill");
  auto&& launch = queue.launch(fill_kernel);
  launch.writes(target).arguments(arguments).items(100);
  arguments = {nullptr, 6};
  EXPECT_TRUE(ok(take(launch.submit()).wait()));
  EXPECT_THAT(target.span(), Each(5U));
}

TEST_F(LaunchTest, too_many_arguments_are_refused_with_the_limit) {
  const std::size_t limit = take(space.device(0)).argument_limit;
  const std::vector<std::byte> most(limit);
  EXPECT_TRUE(queue.launch(kernel("nothing")).arguments(most).submit());
  const std::vector<std::byte> more(limit + 1);
  EXPECT_THAT(queue.launch(kernel("nothing")).arguments(more).submit(),
              refuses(ErrorCode::invalid_argument, std::to_string(limit)));
  EXPECT_THAT(queue.launch(kernel("nothing")).arguments(bytes(more.data(), SIZE_MAX)).submit(),
              refuses(ErrorCode::invalid_argument, std::to_string(SIZE_MAX)));
  EXPECT_THAT(queue.launch(kernel("nothing")).arguments(bytes(nullptr, 8)).submit(),
              refuses(ErrorCode::invalid_argument, "null"));
  EXPECT_TRUE(queue.launch(kernel("nothing")).arguments(std::span<const std::byte>()).submit());
}

TEST_F(LaunchTest, parts_that_are_not_managed_are_refused) {
  const auto buffer = words(1024);
  int mine[4] = {};
  const auto submit = [this](const void* data, std::size_t size) {
    return queue.launch(kernel("nothing")).reads(data, size).submit();
  };
  EXPECT_THAT(submit(mine, sizeof mine), refuses(ErrorCode::unknown_address, hex(mine)));
  EXPECT_THAT(submit(nullptr, 8), refuses(ErrorCode::unknown_address, "0"));
  EXPECT_THAT(submit(buffer.data(), 0), refuses(ErrorCode::invalid_argument, hex(buffer.data())));
  EXPECT_THAT(submit(buffer.data(), SIZE_MAX),
              refuses(ErrorCode::invalid_argument, std::to_string(SIZE_MAX)));
  EXPECT_THAT(submit(buffer.data(), std::size_t{1} << 30),
              refuses(ErrorCode::unknown_address, hex(buffer.data())));
  EXPECT_TRUE(submit(buffer.data() + 5, 1));  // inside is as good as the base

  auto freed = words(10);
  const void* const gone = freed.data();
  EXPECT_TRUE(ok(freed.free()));
  EXPECT_THAT(submit(gone, 4), refuses(ErrorCode::unknown_address, hex(gone)));
}

TEST_F(LaunchTest, what_belongs_to_another_device_or_space_is_refused) {
  const Kernel other = take(space.kernel(1, "", "nothing"));
  EXPECT_THAT(queue.launch(other).submit(), refuses(ErrorCode::invalid_argument, "device 1"));
  const Range range = take(space.allocate_on_device(1, 4096));
  EXPECT_THAT(queue.launch(kernel("nothing")).reads(range).submit(),
              refuses(ErrorCode::unknown_address, hex(range.data())));

  const Space elsewhere = take(Space::open(with_devices(1)));
  const Queue their_queue = take(elsewhere.queue(0));
  const Fence theirs = take(their_queue.launch(take(their_queue.kernel("nothing"))).submit());
  EXPECT_THAT(queue.launch(kernel("nothing")).after(theirs).submit(),
              refuses(ErrorCode::invalid_argument, "another space"));
}

TEST_F(LaunchTest, a_refused_launch_may_be_mended_and_submitted_again) {
  const auto buffer = words(10);
  const Kernel fill_kernel = kernel("fill");
  auto&& launch = queue.launch(fill_kernel);
  launch.writes(buffer).items(10).arguments(bytes(nullptr, 4));
  EXPECT_FALSE(launch.submit());
  EXPECT_THAT(buffer.span(), Each(0U));
  EXPECT_TRUE(ok(take(launch.arguments(sluice_soft_fill{buffer.data(), 3}).submit()).wait()));
  EXPECT_THAT(buffer.span(), Each(3U));
}

TEST_F(LaunchTest, a_launch_may_name_many_parts) {
  std::vector<Buffer<std::uint32_t>> buffers;
  for (std::uint32_t i = 0; i < 20; ++i) {
    buffers.push_back(words(1024));
    buffers.back()[0] = i;
  }
  const auto sum = take(space.buffer<std::uint64_t>(1));
  const Kernel reduce = kernel("reduce");
  auto&& launch = queue.launch(reduce);
  for (const auto& buffer : buffers) launch.reads(buffer);
  launch.writes(sum).arguments(sluice_soft_reduce{buffers[19].data(), sum.data()}).items(1024);
  EXPECT_TRUE(ok(take(launch.submit()).wait()));
  EXPECT_EQ(sum[0], 19U);
  for (const auto& buffer : buffers) {
    EXPECT_TRUE(take(space.residency(buffer.data())).holders.contains(Location::device(0)));
  }
}

TEST_F(LaunchTest, after_orders_across_queues_and_devices) {
  const auto buffer = words(1000);
  const Queue second = take(space.queue(0));
  const Queue remote = take(space.queue(1));
  const Fence slow = occupy(queue, words(1), 50);
  const Fence same_device = take(second.launch(kernel("nothing")).after(slow).submit());
  EXPECT_TRUE(ok(same_device.wait()));
  EXPECT_TRUE(slow.done());
  const Fence slow_again = occupy(queue, words(1), 50);
  const Fence far =
      take(remote.launch(take(remote.kernel("nothing"))).after(slow_again).after({}).submit());
  EXPECT_TRUE(ok(far.wait()));
  EXPECT_TRUE(slow_again.done());
}

TEST_F(LaunchTest, devices_take_turns_without_a_word_from_the_program) {
  const auto x = take(space.buffer<float>(5000));
  const auto y = take(space.buffer<float>(5000));
  std::iota(x.begin(), x.end(), 0.0F);
  const Queue other = take(space.queue(1));
  for (int round = 0; round < 6; ++round) {
    const Queue& on = round % 2 == 0 ? queue : other;
    EXPECT_TRUE(on.launch(take(on.kernel("saxpy")))
                    .reads(x)
                    .writes(y)
                    .arguments(sluice_soft_saxpy{y.data(), x.data(), 1})
                    .items(5000)
                    .submit());
  }
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], 6 * x[i]);
}

TEST_F(LaunchTest, every_shared_range_lets_a_kernel_follow_pointers) {
  const auto one = take(space.buffer<sluice_soft_node>(1));
  const auto two = take(space.buffer<sluice_soft_node>(1));
  const auto count = take(space.buffer<std::uint64_t>(1));
  two[0] = {nullptr, 20};
  one[0] = {two.data(), 10};
  const Fence fence = take(queue.launch(kernel("list_walk"))
                               .every_shared_range()
                               .arguments(sluice_soft_list_walk{one.data(), 1, count.data()})
                               .submit());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_EQ(count[0], 2U);
  EXPECT_EQ(one[0].value, 11U);
  EXPECT_EQ(two[0].value, 21U);
}

TEST_F(LaunchTest, every_shared_range_for_reading_leaves_all_copies_valid) {
  const auto value = take(space.buffer<std::uint64_t>(1));
  const auto unused = words(5000);
  // Each kernel writes a range of its own: launches that write the same pages take turns.
  const std::array<Buffer<std::uint64_t>, 2> results = {
      take(space.buffer<std::uint64_t>(1, Kind::host)),
      take(space.buffer<std::uint64_t>(1, Kind::host))};
  const std::array<Buffer<std::uint32_t>, 2> here = {words(1, Kind::host), words(1, Kind::host)};
  const auto go = words(1, Kind::host);
  value[0] = 42;
  unused[0] = 7;
  // On both devices at once kernels that read run until the host says so, and it reads meanwhile.
  const Queue other = take(space.queue(1));
  const auto hold = [&](const Queue& on, const Buffer<std::uint32_t>& running) {
    return take(on.launch(take(on.kernel("meet")))
                    .every_shared_range(Access::read)
                    .reads(go)
                    .writes(running)
                    .arguments(sluice_soft_meet{running.data(), go.data(), 1})
                    .submit());
  };
  const auto load = [&](const Queue& on, const Buffer<std::uint64_t>& to) {
    return take(on.launch(take(on.kernel("load")))
                    .every_shared_range(Access::read)
                    .writes(to)
                    .arguments(sluice_soft_load{value.data(), to.data(), 8})
                    .submit());
  };
  const std::array<Fence, 2> running = {hold(queue, here[0]), hold(other, here[1])};
  const std::array<Fence, 2> loads = {load(queue, results[0]), load(other, results[1])};
  while (std::atomic_ref(here[0][0]) != 1 || std::atomic_ref(here[1][0]) != 1)
    std::this_thread::yield();
  EXPECT_EQ(value[0], 42U);
  EXPECT_EQ(unused[0], 7U);
  EXPECT_FALSE(running[0].done() || running[1].done());
  for (const void* page :
       {static_cast<const void*>(value.data()), static_cast<const void*>(unused.data())}) {
    const LocationSet holders = take(space.residency(page)).holders;
    EXPECT_TRUE(holders.has_host());
    EXPECT_EQ(holders.devices(), 0b11U);
  }
  std::atomic_ref<std::uint32_t>(go[0]).store(1);
  for (const Fence& fence : {running[0], running[1], loads[0], loads[1]})
    EXPECT_TRUE(ok(fence.wait()));
  EXPECT_EQ(results[0][0], 42U);
  EXPECT_EQ(results[1][0], 42U);

  // It follows writers, as a launch that names the bytes would.
  EXPECT_TRUE(ok(fill(other, unused, 9).wait()));
  const Fence writing = occupy(other, unused, 50);
  EXPECT_TRUE(ok(load(queue, results[0]).wait()));
  EXPECT_TRUE(writing.done());
}

TEST_F(LaunchTest, all_kinds_of_memory_are_reached) {
  const auto shared = words(100);
  const auto host = words(100, Kind::host);
  const auto device = Buffer<std::uint32_t>(take(space.allocate_on_device(0, 400)));
  EXPECT_TRUE(ok(fill(queue, device, 4).wait()));
  const Fence fence = take(queue.launch(kernel("copy"))
                               .reads(device)
                               .writes(host)
                               .arguments(sluice_soft_copy{host.data(), device.data()})
                               .items(400)
                               .submit());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_THAT(host.span(), Each(4U));
  EXPECT_TRUE(ok(space.copy(shared.data(), device.data(), 400)));
  EXPECT_THAT(shared.span(), Each(4U));
}

TEST(LaunchOverflow, what_cannot_fit_is_refused_before_anything_moves) {
  SpaceOptions options = with_devices(1);
  options.device_budget = std::size_t{4} << 20;
  options.overflow = Overflow::refuse;
  const Space space = take(Space::open(options));
  const Queue queue = take(space.queue(0));
  const auto buffer = take(space.buffer<std::uint32_t>(std::size_t{2} << 20));
  std::fill(buffer.begin(), buffer.end(), 1U);
  const auto submitted = queue.launch(take(queue.kernel("nothing"))).writes(buffer).submit();
  EXPECT_THAT(submitted, refuses(ErrorCode::out_of_device_memory, "device 0"));
  EXPECT_EQ(take(space.residency(buffer.data(), buffer.range().size())).device[0], 0U);
}

TEST_F(LaunchTest, queues_move_and_may_end_before_their_work) {
  const auto buffer = words(1000);
  Fence fence;
  {
    Queue first = take(space.queue(1));
    Queue second = std::move(first);
    first = std::move(second);
    second = take(space.queue(0));
    second = std::move(first);
    EXPECT_EQ(second.device(), 1);
    fence = occupy(second, buffer, 30);
  }
  EXPECT_TRUE(ok(fence.wait()));
}

TEST_F(LaunchTest, threads_share_a_queue_and_a_space) {
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      const Queue own = take(space.queue(static_cast<int>(thread % 2)));
      const auto buffer = words(3000);
      for (std::uint32_t round = 0; round < 20; ++round) {
        EXPECT_TRUE(ok(fill(round % 2 == 0 ? queue : own, buffer, round).wait()));
        EXPECT_THAT(buffer.span(), Each(round));
        buffer[round] = thread;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(space.check(), std::nullopt);
}

}  // namespace
}  // namespace sluice::api_test
