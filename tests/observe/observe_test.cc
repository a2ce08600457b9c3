// The observer: counters always on, events only while recording.
#include "observe/observe.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

namespace sluice::observe {
namespace {

constexpr AddressSpan span{Address{0x10000}, 8192};

TEST(Observer, counts_from_many_threads_without_loss) {
  Observer observer;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&observer] {
      for (int n = 0; n < 10000; ++n) observer.count(Counter::launches);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(observer.read_counters().launches, 40000U);
}

TEST(Observer, every_counter_is_read_under_its_own_name) {
  Observer observer;
  for (std::size_t i = 0; i < counters; ++i) observer.count(static_cast<Counter>(i), i + 1);
  // The enum and the public structure list the same counters in the same order.
  const Counters read = observer.read_counters();
  std::array<std::uint64_t, counters> values;
  static_assert(sizeof values == sizeof read);
  std::memcpy(values.data(), &read, sizeof values);
  for (std::size_t i = 0; i < counters; ++i) EXPECT_EQ(values[i], i + 1) << "counter " << i;
}

TEST(Observer, moved_bytes_are_counted_by_direction) {
  Observer observer;
  observer.count_moved(Location::host(), Location::device(1), 10);
  observer.count_moved(Location::device(1), Location::host(), 20);
  observer.count_moved(Location::device(1), Location::device(2), 30);
  const Counters read = observer.read_counters();
  EXPECT_EQ(read.bytes_to_devices, 10U);
  EXPECT_EQ(read.bytes_to_host, 20U);
  EXPECT_EQ(read.bytes_between_devices, 30U);
}

TEST(Observer, off_records_nothing_and_reads_no_clock) {
  Observer observer;
  EXPECT_FALSE(observer.recording());
  EXPECT_EQ(observer.clock(), 0U);
  observer.record(EventKind::migration, span, Location::host(), Location::device(0));
  EXPECT_TRUE(observer.events().empty());
  EXPECT_EQ(observer.overwritten(), 0U);
}

TEST(Observer, records_who_what_and_how_long) {
  Observer observer;
  ASSERT_TRUE(observer.start(16));
  const std::uint64_t began = observer.clock();
  ASSERT_NE(began, 0U);
  observer.record(EventKind::migration, span, Location::host(), Location::device(3), began);
  observer.record(EventKind::cpu_fault, span, Location::device(3), Location::host(), 0, 77);
  observer.stop();
  observer.record(EventKind::eviction, span, Location::device(3), Location::host());

  const std::vector<Event> events = observer.events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, EventKind::migration);
  EXPECT_EQ(events[0].time, began);
  EXPECT_EQ(events[0].address, span.begin.value);
  EXPECT_EQ(events[0].size, span.size);
  EXPECT_EQ(events[0].from, Location::host());
  EXPECT_EQ(events[0].to, Location::device(3));
  EXPECT_EQ(events[0].thread, static_cast<std::int32_t>(gettid()));
  EXPECT_EQ(events[1].thread, 77);
  EXPECT_EQ(events[1].duration, 0U);
  EXPECT_GE(events[1].time, began);
}

TEST(Observer, events_have_the_name_of_the_range_that_was_there_then) {
  Observer observer;
  ASSERT_TRUE(observer.start(64));
  const AddressSpan other{span.begin + 2 * span.size, span.size};
  const auto record = [&](AddressSpan where) {
    observer.record(EventKind::cpu_fault, where, Location::host(), Location::host());
  };
  record(span);
  observer.range_names().begin(span, "first");
  record(span);
  record({span.end() - 1, 1});
  record({span.end(), 1});
  observer.range_names().end(span.begin);
  observer.range_names().begin(span, "second");
  observer.range_names().begin(other, "");
  record(span);
  record(other);
  observer.range_names().end(other.begin);
  observer.range_names().end(span.begin);
  std::vector<std::string> names;
  for (const Event& event : observer.events()) names.push_back(event.range);
  EXPECT_EQ(names, (std::vector<std::string>{"", "first", "first", "", "second", ""}));
}

TEST(Observer, the_newest_ended_ranges_are_remembered) {
  Observer observer;
  RangeNames& names = observer.range_names();
  std::vector<std::uint64_t> times;
  for (std::size_t i = 0; i <= RangeNames::most_ended; ++i) {
    names.begin(span, std::to_string(i));
    times.push_back(now());
    names.end(span.begin);
  }
  EXPECT_EQ(names.at(span.begin.value, times.front()), "");
  EXPECT_EQ(names.at(span.begin.value, times[1]), "1");
  EXPECT_EQ(names.at(span.begin.value, times.back()), std::to_string(RangeNames::most_ended));
}

TEST(Observer, start_forgets_what_was_recorded_before) {
  Observer observer;
  ASSERT_TRUE(observer.start(16));
  observer.record(EventKind::launch, span, Location::host(), Location::device(0));
  ASSERT_TRUE(observer.start(16));
  EXPECT_TRUE(observer.events().empty());
}

TEST(Observer, capacity_is_checked_and_named) {
  Observer observer;
  for (const std::size_t capacity : {std::size_t{0}, (std::size_t{1} << 24) + 1, SIZE_MAX}) {
    const auto started = observer.start(capacity);
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(started.error().detail().find(std::to_string(capacity)), std::string_view::npos);
  }
  EXPECT_FALSE(observer.recording());
}

TEST(Observer, starting_stopping_and_recording_may_cross) {
  Observer observer;
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!done.load())
        observer.record(EventKind::migration, span, Location::host(), Location::device(0),
                        observer.clock());
    });
  }
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(observer.start(128));
    static_cast<void>(observer.events());
    observer.stop();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  for (const Event& event : observer.events()) EXPECT_EQ(event.kind, EventKind::migration);
}

}  // namespace
}  // namespace sluice::observe
