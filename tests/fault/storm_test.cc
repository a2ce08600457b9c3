// Storms: threads store while others take rights away. No store may be lost, whatever the timing.
#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "world.hpp"

namespace sluice::fault {
namespace {

struct Storm {
  std::size_t granule;
  bool lower;
  Grade best;
};

class StormTest : public ::testing::TestWithParam<Storm> {};

constexpr std::size_t thread_count = 4;
constexpr std::size_t page_count = 64;
constexpr std::uint64_t increments = 20000;

// Each thread has a word of its own in every page.
volatile std::uint64_t& counter(const World& world, std::size_t page, std::size_t thread) {
  return (&world.word(page))[thread];
}

TEST_P(StormTest, loses_no_store) {
  World world({.source = {.best = GetParam().best, .handler_threads = 3}});
  SLUICE_NEEDS_FAULTS(world);
  world.granule = GetParam().granule;
  std::atomic<std::size_t> running{thread_count};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < thread_count; ++thread)
    threads.emplace_back([&, thread] {
      std::minstd_rand random(static_cast<unsigned>(thread) + 1);
      for (std::uint64_t i = 0; i < increments; ++i) {
        volatile std::uint64_t& word = counter(world, random() % page_count, thread);
        word = word + 1;
      }
      --running;
    });
  std::minstd_rand random(99);
  while (running != 0) {
    const std::size_t first = random() % page_count;
    const AddressSpan span = world.pages(first, 1 + random() % (page_count - first));
    const bool lower = GetParam().lower && world.source->can_share() && random() % 2 == 0;
    ASSERT_TRUE(lower ? world.source->downgrade(span) : world.source->revoke(span));
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t thread = 0; thread < thread_count; ++thread) {
    std::uint64_t sum = 0;
    for (std::size_t page = 0; page < page_count; ++page) sum += counter(world, page, thread);
    EXPECT_EQ(sum, increments) << "thread " << thread;
  }
  EXPECT_EQ(world.grant_errors, 0);
}

INSTANTIATE_TEST_SUITE_P(Granules, StormTest,
                         ::testing::Values(Storm{page_size, false, Grade::full},
                                           Storm{page_size, true, Grade::full},
                                           Storm{16 * page_size, true, Grade::full},
                                           Storm{page_size, true, Grade::user}));

// Once a writer waits, the file holds every store that it made, and no other comes in.
TEST(Storm, what_is_revoked_stays_still) {
  World world;
  SLUICE_NEEDS_FAULTS(world);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (std::uint64_t i = 1; !stop; ++i) world.word(0) = i;
  });
  for (int round = 0; round < 500; ++round) {
    world.park = true;
    // A grant for a fault that came before may still be under way and undo a revoke, so only a
    // parked writer counts.
    while (!world.parked.try_acquire()) {
      ASSERT_TRUE(world.source->revoke(world.pages(0, 1)));
      std::this_thread::yield();
    }
    const std::uint64_t seen = world.alias_word(0);
    for (int look = 0; look < 100; ++look) ASSERT_EQ(world.alias_word(0), seen);
    world.park = false;
    world.source->wake(world.pages(0, 1));
  }
  stop = true;
  world.source->wake(world.view);
  writer.join();
}

}  // namespace
}  // namespace sluice::fault
