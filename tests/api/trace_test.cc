// Counters and events of a space at work.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

class TraceTest : public ApiTest {
 protected:
  static std::size_t count(const std::vector<Event>& events, EventKind kind) {
    return static_cast<std::size_t>(std::count_if(
        events.begin(), events.end(), [kind](const Event& event) { return event.kind == kind; }));
  }
  // Host to device, and back by an access.
  void go_there_and_back() const {
    buffer[0] = 1;
    EXPECT_TRUE(ok(fill(queue, buffer, 2).wait()));
    EXPECT_EQ(buffer[0], 2U);
  }

  const Buffer<std::uint32_t> buffer = words(1024);
};

TEST_F(TraceTest, counters_count_without_being_asked) {
  const Counters before = space.counters();
  go_there_and_back();
  EXPECT_TRUE(ok(take(space.prefetch(buffer, Location::device(1))).wait()));
  const Counters after = space.counters();
  EXPECT_EQ(after.launches, before.launches + 1);
  EXPECT_EQ(after.prefetches, before.prefetches + 1);
  EXPECT_GE(after.cpu_faults, before.cpu_faults + 2);
  EXPECT_GE(after.bytes_to_devices, before.bytes_to_devices + 4096);
  EXPECT_GE(after.bytes_to_host, before.bytes_to_host + 4096);
}

TEST_F(TraceTest, nothing_is_recorded_until_it_is_started) {
  const Trace trace = space.trace();
  EXPECT_FALSE(trace.running());
  go_there_and_back();
  EXPECT_TRUE(trace.events().empty());
}

TEST_F(TraceTest, the_journeys_can_be_read_from_it) {
  const Trace trace = space.trace();
  ASSERT_TRUE(ok(trace.start(1024)));
  EXPECT_TRUE(trace.running());
  go_there_and_back();
  trace.stop();
  EXPECT_FALSE(space.trace().running());
  const std::vector<Event> events = trace.events();
  EXPECT_EQ(trace.overwritten(), 0U);
  EXPECT_EQ(count(events, EventKind::launch), 1U);
  EXPECT_GE(count(events, EventKind::cpu_fault), 2U);
  const auto moved = std::find_if(events.begin(), events.end(), [](const Event& event) {
    return event.kind == EventKind::migration && event.from == Location::host();
  });
  ASSERT_NE(moved, events.end());
  EXPECT_EQ(moved->to, Location::device(0));
  EXPECT_EQ(moved->address, reinterpret_cast<std::uintptr_t>(buffer.data()));
  EXPECT_EQ(moved->size, 4096U);
  EXPECT_GT(moved->duration, 0U);

  EXPECT_TRUE(nlohmann::json::accept(Trace::print(events, TraceFormat::chrome)));
  EXPECT_THAT(Trace::print(events, TraceFormat::text), testing::HasSubstr("Migration"));
  EXPECT_STREQ(Trace::name(EventKind::launch), "Launch");
}

TEST_F(TraceTest, events_have_the_names_of_ranges_freed_ones_too) {
  const Trace trace = space.trace();
  ASSERT_TRUE(ok(trace.start(1024)));
  {
    const auto temperature = take(space.buffer<std::uint32_t>(1024, "temperature"));
    temperature[0] = 1;
    EXPECT_TRUE(ok(fill(queue, temperature, 2).wait()));
  }
  const auto mapped = take(space.allocate_mapped(4096, {0, 1}, Access::write, "mapped"));
  *reinterpret_cast<volatile char*>(mapped.data()) = 1;
  go_there_and_back();
  const std::vector<Event> events = trace.events();
  const auto of = [&](EventKind kind, const char* range) {
    return std::count_if(events.begin(), events.end(), [&](const Event& event) {
      return event.kind == kind && event.range == range;
    });
  };
  EXPECT_EQ(of(EventKind::cpu_fault, "temperature"), 1);
  EXPECT_EQ(of(EventKind::migration, "temperature"), 1);
  EXPECT_GE(of(EventKind::migration, ""), 1);  // of the buffer without a name
  EXPECT_EQ(take(space.range_of(mapped.data())).name, "mapped");
  EXPECT_THAT(Trace::print(events, TraceFormat::text), testing::HasSubstr("  'temperature'\n"));
}

TEST_F(TraceTest, capacities_that_make_no_sense_are_refused) {
  EXPECT_THAT(space.trace().start(0), refuses(ErrorCode::invalid_argument, "0"));
  EXPECT_THAT(space.trace().start(std::size_t{1} << 40),
              refuses(ErrorCode::invalid_argument, std::to_string(std::size_t{1} << 40)));
  EXPECT_FALSE(space.trace().running());
}

}  // namespace
}  // namespace sluice::api_test
