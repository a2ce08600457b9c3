// The ring under what it promises: the newest win, nothing torn, nothing lost without being
// counted.
#include "observe/event_ring.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::observe {
namespace {

// An event whose every field follows from one number, so that a torn copy shows.
Event event_of(std::uint64_t number) {
  return {.kind = static_cast<EventKind>(number % event_kinds),
          .from = Location::device(static_cast<int>(number % max_devices)),
          .to = number % 2 == 0 ? Location::host() : Location::device(static_cast<int>(number % 7)),
          .thread = static_cast<std::int32_t>(number % 100000),
          .time = number,
          .duration = number * 3,
          .address = number * 4096,
          .size = number * 5};
}

RecordedEvent recorded(const Event& event) {
  return {event.kind, event.from,     event.to,      event.thread,
          event.time, event.duration, event.address, event.size};
}

TEST(EventRing, keeps_every_field) {
  EventRing ring(8);
  Event event = event_of(63);
  event.thread = -5;
  ring.push(recorded(event));
  ASSERT_EQ(ring.events().size(), 1U);
  EXPECT_EQ(ring.events().front(), event);
}

TEST(EventRing, gives_the_newest_oldest_first_and_counts_the_rest) {
  EventRing ring(4);
  EXPECT_TRUE(ring.events().empty());
  for (std::uint64_t i = 0; i < 10; ++i) ring.push(recorded(event_of(i)));
  const std::vector<Event> events = ring.events();
  ASSERT_EQ(events.size(), 4U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(events[i], event_of(6 + i));
  EXPECT_EQ(ring.overwritten(), 6U);
}

TEST(EventRing, forgets_at_clear_and_goes_on) {
  EventRing ring(4);
  for (std::uint64_t i = 0; i < 10; ++i) ring.push(recorded(event_of(i)));
  ring.clear();
  EXPECT_TRUE(ring.events().empty());
  EXPECT_EQ(ring.overwritten(), 0U);
  ring.push(recorded(event_of(11)));
  ASSERT_EQ(ring.events().size(), 1U);
  EXPECT_EQ(ring.events().front(), event_of(11));
}

TEST(EventRing, many_writers_and_a_reader_see_whole_events) {
  constexpr std::uint64_t writers = 4;
  constexpr std::uint64_t each = 20000;
  EventRing ring(64);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) {
      for (const Event& event : ring.events()) EXPECT_EQ(event, event_of(event.time));
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&ring, writer] {
      for (std::uint64_t i = 0; i < each; ++i) ring.push(recorded(event_of(writer * each + i)));
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
