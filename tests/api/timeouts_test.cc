// "No limit", written as the largest value of the type, at every place of the interfaces that takes
// a time.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include "api_support.hpp"
#include "sluice.h"

namespace sluice {
namespace {

constexpr std::int64_t no_limit = INT64_MAX;
constexpr std::int64_t two_to_the_32_milliseconds = (std::int64_t{1} << 32) * 1'000'000;
constexpr std::size_t size = std::size_t{4} << 20;

// A kernel that runs for a while and may write the range, a host access that waits for it, and a
// wait.
void use(const sluice_space_options& options, std::uint64_t kernel_nanoseconds) {
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  sluice_queue* queue = nullptr;
  sluice_kernel kernel{};
  void* memory = nullptr;
  ASSERT_EQ(sluice_queue_create(space, 0, &queue), SLUICE_OK);
  ASSERT_EQ(sluice_kernel_find(space, 0, nullptr, "sleep", &kernel), SLUICE_OK);
  ASSERT_EQ(sluice_allocate(space, size, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &memory),
            SLUICE_OK);
  std::memset(memory, 7, size);
  const sluice_soft_sleep arguments{kernel_nanoseconds};
  const sluice_use use{memory, size, SLUICE_ACCESS_WRITE};
  sluice_launch launch{};
  launch.size = sizeof launch;
  launch.kernel = kernel;
  launch.arguments = &arguments;
  launch.argument_size = sizeof arguments;
  launch.uses = &use;
  launch.use_count = 1;
  sluice_fence fence{};
  ASSERT_EQ(sluice_launch_submit(queue, &launch, &fence), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(*static_cast<volatile unsigned char*>(memory), 7);
  EXPECT_EQ(sluice_fence_wait(space, fence, no_limit, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK)
      << sluice_last_error();
  EXPECT_EQ(sluice_synchronize(space, no_limit, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK)
      << sluice_last_error();
  sluice_queue_destroy(queue);
  sluice_space_close(space);
}

class Timeouts : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(Timeouts, of_transfers_may_be_endless) {
  sluice_space_options options{};
  options.size = sizeof options;
  options.transfer_timeout = GetParam();
  options.kernel_timeout = 800'000'000;  // how often the device is looked at
  options.fault_plan = "step=copy nth=1 action=slow=1300";
  use(options, 1'000'000);
}

TEST_P(Timeouts, of_kernels_may_be_endless) {
  sluice_space_options options{};
  options.size = sizeof options;
  options.kernel_timeout = GetParam();
  options.transfer_timeout = 800'000'000;
  use(options, 1'300'000'000);
}

TEST_P(Timeouts, of_accesses_may_be_endless) {
  sluice_space_options options{};
  options.size = sizeof options;
  options.access_timeout = GetParam();
  options.stuck = SLUICE_STUCK_DENY;  // an access beyond its time dies
  use(options, 300'000'000);
}

TEST_P(Timeouts, between_stops_may_be_endless) {
  sluice_space_options options{};
  options.size = sizeof options;
  options.stop_interval = GetParam();
  use(options, 1'000'000);
}

// In C++ the value is converted before anybody could look at it.
TEST(CppTimeouts, may_be_the_largest_of_any_unit) {
  using namespace api_test;
  SpaceOptions options = with_devices(1);
  options.software.kernel_timeout = std::chrono::hours::max();
  options.software.transfer_timeout = std::chrono::years::max();
  options.access_timeout = std::chrono::minutes::max();
  options.stop_interval = std::chrono::hours::max();
  options.stuck = Stuck::deny;
  EXPECT_EQ(options.access_timeout, std::chrono::milliseconds::max());
  const Space space = take(Space::open(options));
  const Queue queue = take(space.queue(0));
  const auto buffer = take(space.buffer<std::uint32_t>(1000));
  const auto sleep = [&] {
    return take(queue.launch(take(queue.kernel("sleep")))
                    .writes(buffer)
                    .arguments(sluice_soft_sleep{100'000'000})
                    .submit());
  };
  EXPECT_TRUE(ok(sleep().wait_for(std::chrono::hours::max())));
  EXPECT_TRUE(ok(sleep().wait_for(std::chrono::duration<double>(1e300))));
  EXPECT_THAT(sleep().wait_for(std::chrono::hours::min()), refuses(ErrorCode::timed_out, ""));
  static_cast<void>(sleep());
  EXPECT_EQ(buffer[0], 0U);
}

INSTANTIATE_TEST_SUITE_P(Edges, Timeouts, ::testing::Values(no_limit, two_to_the_32_milliseconds));

}  // namespace
}  // namespace sluice
