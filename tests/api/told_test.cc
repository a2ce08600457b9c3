// What a program is told on stderr without having asked: a kernel that waits for the host, and a
// kernel that strays.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;

// Generous: it bounds a failing test, not a passing one.
bool eventually(const std::function<bool()>& condition) {
  const auto limit = steady_clock::now() + std::chrono::seconds(120);
  while (steady_clock::now() < limit) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

// A kernel that waits for a word of the host, in memory of which it may write another part, hangs
// with a host that wants to write there. Nobody is denied anything, but after ten seconds a line
// says so; in each grade at once, as the ten seconds are real.
TEST(Told, a_kernel_that_waits_for_the_host_is_told_of_after_ten_seconds) {
  struct Hang {
    explicit Hang(Grade grade) {
      SpaceOptions options = with_devices(1);
      options.best_grade = grade;
      space = take(Space::open(options));
      for (int i = 0; i < 3; ++i) queues.push_back(take(space->queue(0)));
      words = take(space->buffer<std::uint32_t>(1024));
      release = take(space->buffer<std::uint32_t>(1, Kind::host));
      fence = take(queues[2]
                       .launch(take(queues[2].kernel("spin")))
                       .writes(*words)
                       .reads(*release)
                       .arguments(sluice_soft_spin{release->data(), 1})
                       .submit());
      host = std::thread([this] { (*words)[7] = 1; });
    }
    std::optional<Space> space;
    std::vector<Queue> queues;
    std::optional<Buffer<std::uint32_t>> words, release;
    std::optional<Fence> fence;
    std::thread host;
  };

  testing::internal::CaptureStderr();
  const auto begin = steady_clock::now();
  std::vector<std::unique_ptr<Hang>> hangs;
  for (const Grade grade : {Grade::full, Grade::user, Grade::signal})
    hangs.push_back(std::make_unique<Hang>(grade));
  const bool told = eventually([&] {
    return std::ranges::all_of(
        hangs, [](const auto& hang) { return hang->space->counters().stuck_accesses != 0; });
  });
  const auto waited = steady_clock::now() - begin;
  for (const auto& hang : hangs) {
    (*hang->release)[0] = 1;
    hang->host.join();
    EXPECT_TRUE(ok(hang->fence->wait()));
    EXPECT_EQ((*hang->words)[7], 1u);
    EXPECT_EQ(hang->space->counters().stuck_accesses, 1u);
  }
  hangs.clear();
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(told);
  EXPECT_GE(waited, std::chrono::seconds(10));
  EXPECT_EQ(count_of(printed, "a kernel on device 0, in queue 2, may write it and has not ended"),
            3u)
      << printed;
  EXPECT_THAT(printed, HasSubstr("has waited 10000 ms to write"));
  EXPECT_THAT(printed, HasSubstr("allocate the memory as Kind::host"));
}

// The device tells of a stray access before the launch has ended; the line must not be poorer for
// that than the fence's error is.
TEST(Told, every_line_of_a_stray_access_says_what_is_missing) {
  constexpr unsigned launches = 40;
  SpaceOptions options = with_devices(1);
  options.strict = Strict::off;
  testing::internal::CaptureStderr();
  {
    const Space space = take(Space::open(options));
    const auto words = take(space.buffer<std::uint32_t>(1024));
    for (unsigned i = 0; i < launches; ++i) {
      const Queue queue = take(space.queue(0));
      const Fence fence = take(queue.launch(take(queue.kernel("fill")))
                                   .arguments(sluice_soft_fill{words.data(), 7})
                                   .items(10)
                                   .submit());
      EXPECT_THAT(fence.wait(), refuses(ErrorCode::device_fault, "add .writes of it"));
      ASSERT_EQ(space.counters().fatal_faults, i + 1) << "told after the fence";
    }
  }
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(printed, "sluice: device 0: write of"), launches);
  EXPECT_EQ(count_of(printed, "its launch names nothing of that: add .writes of it"), launches)
      << printed;
}

// A program that ends as soon as it knows, or that does not even ask, has its line all the same.
TEST(Told, a_stray_access_is_told_of_though_the_space_closes_at_once) {
  enum class Asks : std::uint8_t { waits, polls, synchronizes, nothing };
  for (const Asks asks : {Asks::waits, Asks::polls, Asks::synchronizes, Asks::nothing}) {
    constexpr unsigned spaces = 12;
    testing::internal::CaptureStderr();
    for (unsigned i = 0; i < spaces; ++i) {
      SpaceOptions options = with_devices(1);
      options.strict = Strict::off;
      options.best_grade = Grade::user;
      const Space space = take(Space::open(options));
      const auto words = take(space.buffer<std::uint32_t>(1024));
      const Queue queue = take(space.queue(0));
      const Fence fence = take(queue.launch(take(queue.kernel("fill")))
                                   .arguments(sluice_soft_fill{words.data(), 7})
                                   .items(10)
                                   .submit());
      if (asks == Asks::waits) {
        EXPECT_THAT(fence.wait(), refuses(ErrorCode::device_fault, ""));
      } else if (asks == Asks::synchronizes) {
        EXPECT_THAT(space.synchronize(), refuses(ErrorCode::device_fault, ""));
      } else if (asks == Asks::polls) {
        while (!fence.done()) {
        }
      }
    }
    const std::string printed = testing::internal::GetCapturedStderr();
    EXPECT_EQ(count_of(printed, "sluice: device 0: write of"), spaces)
        << static_cast<int>(asks) << ": " << printed;
  }
}

}  // namespace
}  // namespace sluice::api_test
