// Launches that are limited to what they were granted: to the page, with the rights that were
// granted, one after another.
#include <atomic>
#include <set>

#include "device/recoverable_faults.hpp"
#include "device/soft_rig.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

using Kind = RecordingSink::Event::Kind;

constexpr std::size_t page = 4096;

Backend limiting(bool recoverable = false) {
  return soft_backend([recoverable](soft::SoftOptions& options) {
    options.limits_launches = true;
    options.recoverable_faults = recoverable;
  });
}

// A rig whose first block is mapped for writing, and whose kernel's accesses are written down and
// answered.
struct LimitedRig {
  explicit LimitedRig(bool answer, bool recoverable = false) : rig(limiting(recoverable)) {
    rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
    rig.sink.on_access_fault([this, answer](const RecordingSink::Event& event) {
      {
        const std::lock_guard lock(mutex);
        asked.emplace_back((event.address - rig.host.at(0)) / page, event.access);
        launch_known = rig->recoverable_faults()->launch_of(event.fault);
      }
      rig->recoverable_faults()->answer_fault(event.fault, answer);
    });
    queue = GET(rig->create_queue());
  }
  NamedMemory pages(std::size_t first, std::size_t count, Access access) {
    return {{rig.host.at(first * page), count * page}, access};
  }
  template <typename Arguments>
  Result<Fence> launch(const char* name, const Arguments& arguments, std::uint64_t items,
                       std::vector<NamedMemory> granted) {
    LaunchCommand command{rig.kernel(name), bytes_of(arguments), items, {}};
    command.granted = granted;
    return rig->launch(queue, command);
  }
  Result<Fence> fill(std::size_t first, std::size_t count, std::uint32_t value,
                     std::vector<NamedMemory> granted) {
    return launch("fill",
                  sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(first * page)), value},
                  count * page / 4, std::move(granted));
  }
  std::vector<std::pair<std::size_t, Access>> take_asked() {
    const std::lock_guard lock(mutex);
    return std::exchange(asked, {});
  }

  std::mutex mutex;
  std::vector<std::pair<std::size_t, Access>> asked;
  Fence launch_known;
  Rig rig;
  QueueId queue;
};

using Asked = std::vector<std::pair<std::size_t, Access>>;

TEST(SoftLimits, what_is_granted_is_reached_and_no_page_more) {
  LimitedRig limited(true);
  limited.rig.finish(limited.fill(3, 4, 7, {limited.pages(3, 4, Access::write)}));
  EXPECT_EQ(limited.take_asked(), Asked{});
  const Fence fence = GET(limited.fill(2, 6, 8, {limited.pages(3, 4, Access::write)}));
  limited.rig.finish(fence);
  EXPECT_EQ(limited.take_asked(), (Asked{{2, Access::write}, {7, Access::write}}));
  EXPECT_EQ(limited.launch_known, fence);
  for (std::size_t i = 2; i < 8; ++i) EXPECT_EQ(limited.rig.load_word(i * page), 8U) << i;
  // What an answer added belongs to that launch alone.
  limited.rig.finish(limited.fill(2, 6, 9, {limited.pages(3, 4, Access::write)}));
  EXPECT_EQ(limited.take_asked(), (Asked{{2, Access::write}, {7, Access::write}}));
}

TEST(SoftLimits, reading_is_no_right_to_write) {
  for (const bool recoverable : {false, true}) {
    LimitedRig limited(true, recoverable);
    limited.rig.finish(limited.fill(
        0, 2, 7, {limited.pages(0, 2, Access::read), limited.pages(1, 1, Access::write)}));
    EXPECT_EQ(limited.take_asked(), (Asked{{0, Access::write}}));
  }
}

TEST(SoftLimits, a_refused_access_ends_the_kernel) {
  LimitedRig limited(false);
  const Fence fence = GET(limited.fill(0, 2, 7, {limited.pages(0, 1, Access::write)}));
  EXPECT_EQ(code_of(limited.rig->wait(fence, patiently())), ErrorCode::device_fault);
  EXPECT_EQ(limited.rig.load_word(0), 7U);
  EXPECT_EQ(limited.rig.load_word(page), 0U);
  const auto fault = limited.rig->fault_of(fence);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kernel, "fill");
  EXPECT_EQ(fault->queue.value, 0);
  EXPECT_EQ(fault->address, limited.rig.host.at(page));
  EXPECT_EQ(fault->access, Access::write);
  EXPECT_FALSE(limited.rig->fault_of({}));
}

TEST(SoftLimits, many_grants_need_many_slots) {
  LimitedRig limited(true);
  std::vector<NamedMemory> granted;
  for (std::size_t i = 0; i < 512; ++i)
    for (int times = 0; times < 40; ++times)
      if (i != 300) granted.push_back(limited.pages(i, 1, Access::write));
  limited.rig.finish(limited.fill(0, 512, 3, granted));  // more slots than the ring has
  EXPECT_EQ(limited.take_asked(), (Asked{{300, Access::write}}));
}

TEST(SoftLimits, a_launch_without_grants_reaches_nothing_and_one_without_limits_all) {
  LimitedRig limited(true);
  limited.rig.finish(limited.fill(0, 2, 1, {}));
  EXPECT_EQ(limited.take_asked(), (Asked{{0, Access::write}, {1, Access::write}}));
  limited.rig.finish(limited.rig.launch(
      limited.queue, limited.rig.kernel("fill"),
      sluice_soft_fill{pointer<std::uint32_t>(limited.rig.host.at(0)), 5}, block_size / 4));
  EXPECT_EQ(limited.take_asked(), Asked{});
  EXPECT_EQ(limited.rig.load_word(block_size - 4), 5U);
}

// What is mapped while limits are in force is no more than what they leave of it.
TEST(SoftLimits, mappings_change_under_limits) {
  LimitedRig limited(true);
  limited.rig.finish(limited.fill(0, 1, 1, {limited.pages(0, 1, Access::write)}));
  limited.rig.finish(
      limited.rig.map(block_size, block_size, limited.rig.on_host(block_size), Rights::write));
  limited.rig.finish(limited.fill(
      512, 2, 2, {limited.pages(0, 1, Access::write), limited.pages(513, 1, Access::write)}));
  EXPECT_EQ(limited.take_asked(), (Asked{{512, Access::write}}));
  EXPECT_EQ(limited.rig.load_word(block_size + page), 2U);
  // A grant is no mapping.
  LimitedRig refusing(false);
  refusing.rig.finish(refusing.rig.map(0, block_size, {}, Rights::none));
  EXPECT_EQ(
      code_of(refusing.rig.outcome(refusing.fill(0, 1, 1, {refusing.pages(0, 1, Access::write)}))),
      ErrorCode::device_fault);
}

TEST(SoftLimits, kernels_run_one_after_another) {
  LimitedRig limited(true);
  const QueueId other = GET(limited.rig->create_queue());
  constexpr std::size_t began = 64 * block_size;
  constexpr std::size_t go_on = 65 * block_size;
  for (const std::size_t place : {began, go_on}) {
    limited.rig.map_memory(place);
    limited.rig.store_word(place, 0);
  }
  const auto word = [&](std::size_t place) {
    return pointer<std::uint32_t>(limited.rig.host.at(place));
  };
  const Fence running = GET(limited.rig.launch(limited.queue, limited.rig.kernel("meet"),
                                               sluice_soft_meet{word(began), word(go_on), 1}));
  // Only a kernel that has begun makes another one wait.
  ASSERT_TRUE(eventually([&] { return limited.rig.load_word(began) == 1; }));
  LaunchCommand command{limited.rig.kernel("nothing"), {}, 1, {}};
  command.granted.emplace();
  const Fence waiting = GET(limited.rig->launch(other, command));
  EXPECT_EQ(
      code_of(limited.rig->wait(waiting, {Clock::now() + std::chrono::milliseconds(50), false})),
      ErrorCode::timed_out);
  limited.rig.store_word(go_on, 1);
  limited.rig.finish(running);
  limited.rig.finish(waiting);
}

TEST(SoftLimits, a_device_that_was_not_opened_for_it_refuses_them) {
  Rig rig(soft_backend());
  EXPECT_FALSE(rig->traits().limits_launches);
  LaunchCommand command{rig.kernel("nothing"), {}, 1, {}};
  command.granted.emplace();
  EXPECT_EQ(code_of(rig->launch(GET(rig->create_queue()), command)), ErrorCode::unsupported);
}

TEST(SoftLimits, they_come_back_with_the_device) {
  LimitedRig limited(true);
  GET(limited.rig->reset());
  limited.rig.finish(limited.rig.map(0, block_size, limited.rig.on_host(0), Rights::write));
  limited.rig.finish(limited.fill(0, 2, 9, {limited.pages(0, 1, Access::write)}));
  EXPECT_EQ(limited.take_asked(), (Asked{{1, Access::write}}));
}

}  // namespace
}  // namespace sluice::device::testing
