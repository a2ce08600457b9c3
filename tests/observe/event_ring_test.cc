// The ring under what it promises: the newest win, nothing torn, nothing lost without being
// counted.
#include "observe/event_ring.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::observe {
namespace {

// Of kernels and launches, instead of an instruction.
bool has_place(std::uint64_t number) {
  const auto kind = static_cast<EventKind>(number % event_kinds);
  return kind == EventKind::launch || kind == EventKind::kernel;
}

// An event whose every field follows from one number, so that a torn copy shows.
RecordedEvent event_of(std::uint64_t number) {
  return {.kind = static_cast<EventKind>(number % event_kinds),
          .from = Location::device(static_cast<int>(number % max_devices)),
          .to = number % 2 == 0 ? Location::host() : Location::device(static_cast<int>(number % 7)),
          .thread = static_cast<std::int32_t>(number % 100000),
          .time = number,
          .duration = number * 3,
          .address = number * 4096,
          .size = number * 5,
          .details = {.cause = static_cast<Cause>(number % causes),
                      .writes = number % 3 == 0,
                      .touched = static_cast<std::uint32_t>(number % (1 << 23)),
                      .link = number % 1000,
                      .code = has_place(number) ? 0 : number * 11,
                      .place = has_place(number) ? static_cast<std::uint32_t>(number % 4096) : 0}};
}

TEST(EventRing, keeps_every_field) {
  EventRing ring(8);
  RecordedEvent event = event_of(63);
  event.thread = -5;
  ring.push(event);
  ASSERT_EQ(ring.events().size(), 1U);
  EXPECT_EQ(ring.events().front(), event);
}

TEST(EventRing, gives_the_newest_oldest_first_and_counts_the_rest) {
  EventRing ring(4);
  EXPECT_TRUE(ring.events().empty());
  for (std::uint64_t i = 0; i < 10; ++i) ring.push(event_of(i));
  const std::vector<RecordedEvent> events = ring.events();
  ASSERT_EQ(events.size(), 4U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(events[i], event_of(6 + i));
  EXPECT_EQ(ring.overwritten(), 6U);
}

TEST(EventRing, forgets_at_clear_and_goes_on) {
  EventRing ring(4);
  for (std::uint64_t i = 0; i < 10; ++i) ring.push(event_of(i));
  ring.clear();
  EXPECT_TRUE(ring.events().empty());
  EXPECT_EQ(ring.overwritten(), 0U);
  ring.push(event_of(11));
  ASSERT_EQ(ring.events().size(), 1U);
  EXPECT_EQ(ring.events().front(), event_of(11));
}

TEST(EventRing, is_read_piece_by_piece_and_what_was_missed_is_counted) {
  EventRing ring(8);
  std::uint64_t ticket = 0;
  std::uint64_t missed = 0;
  std::uint64_t next = 0;
  const auto push = [&](int count) {
    for (int i = 0; i < count; ++i) ring.push(event_of(next++));
  };
  push(3);
  EXPECT_EQ(ring.take(ticket, missed).size(), 3U);
  EXPECT_TRUE(ring.take(ticket, missed).empty());
  EXPECT_EQ(missed, 0U);
  push(12);
  const std::vector<RecordedEvent> rest = ring.take(ticket, missed);
  ASSERT_EQ(rest.size(), 8U);
  EXPECT_EQ(rest.front(), event_of(7));
  EXPECT_EQ(missed, 4U);
}

TEST(EventRing, many_writers_and_a_reader_see_whole_events) {
  constexpr std::uint64_t writers = 4;
  constexpr std::uint64_t each = 20000;
  EventRing ring(64);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) {
      for (const RecordedEvent& event : ring.events()) EXPECT_EQ(event, event_of(event.time));
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&ring, writer] {
      for (std::uint64_t i = 0; i < each; ++i) ring.push(event_of(writer * each + i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  const std::size_t there = ring.events().size();
  EXPECT_LE(there, 64U);
  EXPECT_GE(there + ring.overwritten(), writers * each);
}

}  // namespace
}  // namespace sluice::observe
