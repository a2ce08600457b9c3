// Lanes: which fences of a stream are complete, told by events that serve again and again. The
// driver's stream is a list here, which the test carries out command by command, so these run
// without a GPU.
#include "device/cuda/lane.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <map>
#include <vector>

namespace sluice::device::cuda {
namespace {

struct Stream {
  std::vector<std::function<void()>> commands;
  std::size_t carried_out = 0;
  std::map<CUevent, std::size_t> recorded;  // by event: behind how many commands
  std::vector<CUevent> waited_for;          // by other streams
  std::size_t queries = 0;

  void carry_out(std::size_t commands_in_all) {
    for (; carried_out < commands_in_all; ++carried_out) commands[carried_out]();
  }
  void carry_out_all() { carry_out(commands.size()); }
};
Stream* stream = nullptr;  // the driver's calls have no place for it

Driver listing_driver() {
  Driver driver;
  driver.stream_create = [](CUstream* made, unsigned, int) {
    *made = reinterpret_cast<CUstream>(stream);
    return success;
  };
  driver.stream_destroy = [](CUstream) { return success; };
  driver.stream_write = [](CUstream, CUdeviceptr word, std::uint64_t value, unsigned) {
    stream->commands.emplace_back([=] {
      *reinterpret_cast<std::atomic<std::uint64_t>*>(word) =
          value;  // NOLINT(performance-no-int-to-ptr)
    });
    return success;
  };
  driver.stream_wait = [](CUstream, CUevent event, unsigned) {
    stream->waited_for.push_back(event);
    return success;
  };
  driver.event_create = [](CUevent* made, unsigned) {
    *made = reinterpret_cast<CUevent>(stream->recorded.size() +
                                      1);  // NOLINT(performance-no-int-to-ptr)
    stream->recorded[*made] = 0;
    return success;
  };
  driver.event_destroy = [](CUevent) { return success; };
  driver.event_record = [](CUevent event, CUstream) {
    stream->commands.emplace_back([] {});
    stream->recorded[event] = stream->commands.size();
    return success;
  };
  driver.event_query = [](CUevent event) {
    ++stream->queries;
    return stream->carried_out >= stream->recorded[event] ? success : error_not_ready;
  };
  return driver;
}

class Lanes : public testing::Test {
 protected:
  Lanes() {
    stream = &stream_;
    lane.use(&word_);
    EXPECT_TRUE(lane.open(driver, 0));
  }
  ~Lanes() override { lane.close(driver); }

  // A kernel, and its fence. Told by its number: behind how many commands it is complete.
  std::uint64_t launch() {
    stream_.commands.emplace_back([] {});
    const std::size_t kernel = stream_.commands.size();
    const MutexLock lock(lane.mutex);
    const std::uint64_t value = lane.mark_by_event(driver).value();
    ends[value] = kernel;
    return value;
  }
  [[nodiscard]] bool looks_complete(std::uint64_t value) {
    const MutexLock lock(lane.mutex);
    return lane.look(driver, value) == success;
  }
  [[nodiscard]] bool has_ended(std::uint64_t value) const {
    return stream_.carried_out >= ends.at(value);
  }

  Stream stream_;
  std::atomic<std::uint64_t> word_{0};
  const Driver driver = listing_driver();
  Lane lane;
  std::map<std::uint64_t, std::size_t> ends;
};

TEST_F(Lanes, every_pending_launch_has_a_fence_of_its_own) {
  for (int i = 0; i < 500; ++i) launch();
  for (const auto& [value, end] : ends) {
    stream_.carry_out(end);
    EXPECT_FALSE(looks_complete(value)) << "its event is behind it";
    stream_.carry_out(end + 1);
    EXPECT_TRUE(looks_complete(value));
    EXPECT_TRUE(lane.is_complete(value)) << "and from now on it is known";
    EXPECT_FALSE(ends.contains(value + 1) && looks_complete(value + 1));
  }
}

TEST_F(Lanes, events_serve_again_when_nobody_asks) {
  for (int i = 0; i < 10000; ++i) {
    launch();
    if (i % 8 == 0) stream_.carry_out_all();
  }
  EXPECT_LE(stream_.recorded.size(), 32U);
  EXPECT_EQ(stream_.queries, 0U);
}

TEST_F(Lanes, the_latest_launch_is_announced_and_then_asking_costs_a_load) {
  const std::uint64_t earlier = launch();
  const std::uint64_t value = launch();
  {
    const MutexLock lock(lane.mutex);
    EXPECT_TRUE(lane.announce(driver, earlier));
    EXPECT_FALSE(lane.is_announced(earlier)) << "its word would come behind later launches";
    EXPECT_TRUE(lane.announce(driver, value));
    EXPECT_TRUE(lane.is_announced(value));
  }
  EXPECT_FALSE(lane.is_complete(value));
  stream_.carry_out_all();
  EXPECT_TRUE(lane.is_complete(value));
  EXPECT_EQ(stream_.queries, 0U);
}

TEST_F(Lanes, other_streams_wait_for_the_launch_and_for_nothing_later) {
  const std::uint64_t value = launch();
  launch();
  const MutexLock lock(lane.mutex);
  EXPECT_TRUE(lane.hold_up(driver, nullptr, value));
  ASSERT_EQ(stream_.waited_for.size(), 1U);
  EXPECT_EQ(stream_.recorded[stream_.waited_for[0]], ends[value] + 1);
}

// Never too early, whatever came when; and not late either, unless more is pending than there are
// events.
RC_GTEST_FIXTURE_PROP(Lanes, tell_of_every_launch_what_is_so, ()) {
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 60));
  for (const int step : steps) {
    if (step < 30) {
      for (int i = 0; i < step * 3; ++i) launch();
    } else if (step < 40) {
      const std::size_t left = stream_.commands.size() - stream_.carried_out;
      stream_.carry_out(stream_.carried_out + left * static_cast<std::size_t>(step - 29) / 10);
    } else if (!ends.empty()) {
      const std::uint64_t latest = ends.rbegin()->first;
      const std::uint64_t value = latest - latest * static_cast<std::uint64_t>(step - 40) / 20;
      const MutexLock lock(lane.mutex);
      if (step % 2 == 0) RC_ASSERT(lane.announce(driver, value).has_value());
      const bool complete = lane.look(driver, value) == success;
      if (complete) RC_ASSERT(has_ended(value));
      const bool recorded = stream_.carried_out > ends[value];
      if (recorded && latest - value < 1000) RC_ASSERT(complete);
    }
  }
  stream_.carry_out_all();
  for (const auto& [value, end] : ends) RC_ASSERT(looks_complete(value));
}

}  // namespace
}  // namespace sluice::device::cuda
