// Spaces, ranges and buffers: sizes, pointers, ownership.
#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using namespace std::chrono_literals;
using testing::Each;

TEST(SpaceOpen, options_that_cannot_be_granted_are_named) {
  SpaceOptions options = with_devices(65);
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument, "65"));
  options = with_devices(-1);
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument, "-1"));
  options = with_devices(1);
  options.software.memory_size = 4097;
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument, "4097"));
  options = with_devices(1);
  options.handler_threads = 1;
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument, "handler_threads is 1"));
  options = with_devices(1);
  options.access_window = 100;
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument, "100"));
  options = with_devices(2);
  options.software.recoverable_fault_devices = 0b101;
  EXPECT_THAT(
      Space::open(options),
      refuses(ErrorCode::invalid_argument,
              "software.recoverable_fault_devices is 0x5; it has bits beyond those of the devices, "
              "and software.count is 2"));
  options = with_devices(64);
  options.software.recoverable_fault_devices = std::uint64_t{1} << 63;
  options.software.kernel_timeout = -5ms;
  EXPECT_THAT(Space::open(options),
              refuses(ErrorCode::invalid_argument,
                      "software.kernel_timeout is -5 ms; it must be at least 0"));
  options = with_devices(1);
  options.software.transfer_timeout = 0ms;
  EXPECT_THAT(Space::open(options),
              refuses(ErrorCode::invalid_argument,
                      "software.transfer_timeout is 0 ms; it must be at least 1"));
  options = with_devices(1);
  options.access_timeout = -1ms;
  EXPECT_THAT(Space::open(options), refuses(ErrorCode::invalid_argument,
                                            "access_timeout is -1 ms; it must be at least 0"));
}

TEST(SpaceOpen, without_devices_memory_works_and_launches_are_refused) {
  const Space space = take(Space::open(with_devices(0)));
  EXPECT_EQ(space.device_count(), 0);
  const auto buffer = take(space.buffer<int>(10));
  buffer[3] = 7;
  EXPECT_EQ(buffer[3], 7);
  EXPECT_THAT(space.queue(0), refuses(ErrorCode::unknown_device, "device 0"));
}

TEST(SpaceOpen, two_spaces_know_nothing_of_each_other) {
  const Space one = take(Space::open(with_devices(1)));
  const Space other = take(Space::open(with_devices(1)));
  const Range range = take(one.allocate(4096));
  EXPECT_THAT(other.free(range.data()), refuses(ErrorCode::unknown_address, hex(range.data())));
  EXPECT_FALSE(one == other);
}

TEST(SpaceHandle, what_it_gave_keeps_it_open) {
  auto space = std::make_unique<Space>(take(Space::open(with_devices(1))));
  const Space copy = *space;
  EXPECT_TRUE(copy == *space);
  const Queue queue = take(space->queue(0));
  const auto buffer = take(space->buffer<std::uint32_t>(1000));
  const Kernel kernel = take(queue.kernel("fill"));
  space.reset();
  const Fence fence = take(queue.launch(kernel)
                               .writes(buffer)
                               .arguments(sluice_soft_fill{buffer.data(), 9})
                               .items(buffer.size())
                               .submit());
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_THAT(buffer.span(), Each(9U));
}

class RangeTest : public ApiTest {};

TEST_F(RangeTest, any_size_of_any_kind_reads_as_zeros_and_is_aligned) {
  for (const Kind kind : {Kind::shared, Kind::host}) {
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{4095}, std::size_t{4097}, (std::size_t{2} << 20) + 3}) {
      const Range range = take(space.allocate(size, kind));
      EXPECT_EQ(range.size(), size);
      EXPECT_EQ(range.bytes().size(), size);
      EXPECT_EQ(range.kind(), kind);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(range.data()) % (std::size_t{2} << 20), 0U);
      EXPECT_TRUE(std::all_of(range.bytes().begin(), range.bytes().end(),
                              [](std::byte b) { return b == std::byte{0}; }));
      range.data()[size - 1] = std::byte{1};
      const RangeInfo info = take(space.range_of(range.data() + size - 1));
      EXPECT_EQ(info.base, range.data());
      EXPECT_EQ(info.size, size);
      EXPECT_EQ(info.kind, kind);
      EXPECT_EQ(info.device, -1);
    }
  }
}

TEST_F(RangeTest, sizes_that_make_no_sense_are_refused) {
  EXPECT_THAT(space.allocate(0), refuses(ErrorCode::invalid_argument, "zero"));
  EXPECT_THAT(space.allocate(SIZE_MAX),
              refuses(ErrorCode::out_of_host_memory, std::to_string(SIZE_MAX)));
  EXPECT_THAT(space.allocate(std::size_t{1} << 62),
              refuses(ErrorCode::out_of_host_memory, std::to_string(std::size_t{1} << 62)));
  EXPECT_THAT(space.buffer<double>(SIZE_MAX / 2),
              refuses(ErrorCode::invalid_argument, std::to_string(SIZE_MAX / 2)));
  EXPECT_THAT(space.buffer<double>(0), refuses(ErrorCode::invalid_argument, "zero"));
  EXPECT_EQ(space.status().ranges, 0U);
}

TEST_F(RangeTest, device_ranges_need_a_device) {
  EXPECT_THAT(space.allocate(4096, Kind::device),
              refuses(ErrorCode::invalid_argument, "allocate_on_device"));
  for (const int device : {-1, 2, 64, 1000000}) {
    EXPECT_THAT(space.allocate_on_device(device, 4096),
                refuses(ErrorCode::unknown_device, std::to_string(device)));
  }
  EXPECT_THAT(space.allocate_on_device(0, std::size_t{1} << 30),
              refuses(ErrorCode::out_of_device_memory, "device 0"));
  const Range range = take(space.allocate_on_device(1, 4096));
  EXPECT_EQ(take(space.range_of(range.data())).device, 1);
}

TEST(HostBudget, is_kept_and_given_back) {
  SpaceOptions options = with_devices(1);
  options.host_budget = std::size_t{4} << 20;
  const Space space = take(Space::open(options));
  Range first = take(space.allocate(std::size_t{3} << 20));
  EXPECT_THAT(space.allocate(std::size_t{2} << 20),
              refuses(ErrorCode::out_of_host_memory, std::to_string(std::size_t{2} << 20)));
  EXPECT_TRUE(ok(first.free()));
  EXPECT_TRUE(space.allocate(std::size_t{4} << 20));
}

TEST_F(RangeTest, moving_moves_ownership) {
  Range first = take(space.allocate(100));
  std::byte* const base = first.data();
  Range second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what is left is part of the contract
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.size(), 0U);
  EXPECT_EQ(second.data(), base);

  Range third = take(space.allocate(200));
  std::byte* const replaced = third.data();
  third = std::move(second);
  EXPECT_EQ(third.data(), base);
  EXPECT_THAT(space.range_of(replaced), refuses(ErrorCode::unknown_address, hex(replaced)));

  Range& same = third;
  third = std::move(same);
  EXPECT_EQ(third.data(), base);
  EXPECT_TRUE(ok(third.free()));
  EXPECT_TRUE(ok(third.free()));  // nothing is owned any more
  EXPECT_EQ(space.status().ranges, 0U);
}

TEST_F(RangeTest, released_ranges_are_freed_by_their_base) {
  std::byte* const base = take(space.allocate(8192)).release();
  EXPECT_EQ(take(space.range_of(base)).base, base);
  EXPECT_THAT(space.free(base + 1), refuses(ErrorCode::unknown_address, hex(base + 1)));
  EXPECT_THAT(space.free(base + 1), refuses(ErrorCode::unknown_address, hex(base)));
  EXPECT_TRUE(ok(space.free(base)));
  EXPECT_THAT(space.free(base), refuses(ErrorCode::unknown_address, hex(base)));
  EXPECT_THAT(space.free_if_idle(base), refuses(ErrorCode::unknown_address, hex(base)));
  int mine = 0;
  EXPECT_THAT(space.free(&mine), refuses(ErrorCode::unknown_address, hex(&mine)));
  EXPECT_TRUE(ok(space.free(nullptr)));
  EXPECT_TRUE(ok(space.free_if_idle(nullptr)));
}

TEST_F(RangeTest, a_kernel_in_its_way_is_waited_for_or_named) {
  auto buffer = words(1000);
  const Fence fence = occupy(queue, buffer, 100);
  EXPECT_THAT(buffer.free_if_idle(), refuses(ErrorCode::busy, "device 0"));
  EXPECT_TRUE(buffer);
  EXPECT_TRUE(ok(buffer.free()));
  EXPECT_TRUE(fence.done());
  EXPECT_FALSE(buffer);
}

TEST_F(RangeTest, a_lease_keeps_it) {
  Range range = take(space.allocate(4096));
  Lease lease = take(space.lease(range.data(), range.size(), Location::host(), Access::read));
  EXPECT_THAT(range.free(), refuses(ErrorCode::busy, "leased"));
  EXPECT_THAT(range.free_if_idle(), refuses(ErrorCode::busy, "leased"));
  lease.end();
  EXPECT_TRUE(ok(range.free()));
}

TEST_F(RangeTest, a_buffer_is_an_array) {
  const auto buffer = words(1000);
  std::iota(buffer.begin(), buffer.end(), 0U);
  EXPECT_EQ(buffer.size(), 1000U);
  EXPECT_FALSE(buffer.empty());
  EXPECT_EQ(buffer[999], 999U);
  EXPECT_EQ(buffer.span().back(), 999U);
  EXPECT_EQ(buffer.end() - buffer.begin(), 1000);
  EXPECT_EQ(static_cast<void*>(buffer.data()), buffer.range().data());

  Buffer<std::uint32_t> moved = std::move(const_cast<Buffer<std::uint32_t>&>(buffer));
  EXPECT_TRUE(buffer.empty());  // NOLINT(bugprone-use-after-move)
  std::uint32_t* const raw = moved.release();
  EXPECT_EQ(raw[1], 1U);
  EXPECT_FALSE(moved);
  EXPECT_TRUE(ok(space.free(raw)));
  EXPECT_TRUE(Buffer<int>().empty());
}

TEST_F(RangeTest, threads_allocate_touch_and_free_at_once) {
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([this, seed] {
      for (unsigned i = 0; i < 50; ++i) {
        const auto buffer = words(1000 * seed + i);
        std::fill(buffer.begin(), buffer.end(), seed);
        EXPECT_THAT(buffer.span(), Each(seed));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(space.status().ranges, 0U);
}

}  // namespace
}  // namespace sluice::api_test
