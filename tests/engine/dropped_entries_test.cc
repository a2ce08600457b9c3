// Linux takes page-table entries of managed memory away that the host has the rights to: it pages
// out, splits and collapses huge pages, or the program tells it to. The rights stand, so the next
// access goes on with the same bytes.
#include <sys/mman.h>

#include "engine_rig.hpp"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace sluice::engine {
namespace {

class DroppedEntries : public EngineTest, public testing::WithParamInterface<Grade> {
 protected:
  void SetUp() override {
    SpaceOptions options = small_devices(1);
    options.best_grade = GetParam();
    open(options);
  }
  [[nodiscard]] std::uint32_t* numbered(std::size_t bytes) const {
    std::uint32_t* data = words(bytes);
    for (std::size_t i = 0; i < bytes / 4; ++i) data[i] = static_cast<std::uint32_t>(i);
    return data;
  }
  static void expect_numbered(const std::uint32_t* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes / 4; ++i) ASSERT_EQ(data[i], i);
  }
  // Linux may refuse (no swap, no huge pages); then there is less to find.
  static void advise(void* data, std::size_t bytes, int advice) {
    (void)::madvise(data, bytes, advice);
  }
};

TEST_P(DroppedEntries, are_given_again_to_readers_and_writers) {
  for (const int advice : {MADV_DONTNEED, MADV_PAGEOUT, MADV_COLLAPSE}) {
    std::uint32_t* data = numbered(4 * mib);
    advise(data, 4 * mib, advice);
    expect_numbered(data, 4 * mib);
    advise(data, 4 * mib, advice);
    for (std::size_t page = 0; page < 1024; ++page)
      data[page * 1024] = static_cast<std::uint32_t>(page * 1024);
    expect_numbered(data, 4 * mib);
  }
}

TEST_P(DroppedEntries, of_pages_that_may_only_be_read_stay_closed_to_writers) {
  if (!engine->status().shares_reads)
    GTEST_SKIP()
        << "needs Linux 6.4 or later, which can give reads without writes; run on a newer kernel";
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 7));
  for (std::size_t i = 0; i < 2 * mib / 4; ++i) ASSERT_EQ(data[i], 7u);
  LocationSet both(Location::host());
  both.insert(Location::device(0));
  ASSERT_EQ(holders(data), both);
  ASSERT_EQ(::madvise(data, 2 * mib, MADV_DONTNEED), 0);
  for (std::size_t i = 0; i < 2 * mib / 4; ++i) ASSERT_EQ(data[i], 7u);
  EXPECT_EQ(holders(data), both);
  data[0] = 8;  // must be noticed, or the device goes on with its stale copy
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  std::uint64_t* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, mib / 2,
                     {{span(data, 2 * mib), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 7u * (mib / 2) + 1);
}

TEST_P(DroppedEntries, are_given_again_beside_what_is_there) {
  std::uint32_t* data = numbered(2 * mib);
  for (std::size_t page = 0; page < 512; page += 3)
    ASSERT_EQ(::madvise(data + page * 1024, 4096, MADV_DONTNEED), 0);
  expect_numbered(data, 2 * mib);
  for (std::size_t page = 0; page < 512; page += 5)
    ASSERT_EQ(::madvise(data + page * 1024, 4096, MADV_DONTNEED), 0);
  for (std::size_t i = 0; i < 2 * mib / 4; ++i) data[i] = static_cast<std::uint32_t>(i);
  expect_numbered(data, 2 * mib);
}

// The bytes of the others must not go, nor their accesses wait, when one page of a huge page is
// discarded.
TEST_P(DroppedEntries, around_a_discarded_page_are_given_again) {
  std::uint32_t* data = numbered(4 * mib);
  ASSERT_TRUE(engine->discard({Address::of(data + 5 * 1024), 4096}));
  EXPECT_EQ(data[5 * 1024], 0u);
  for (std::size_t page = 0; page < 1024; ++page) {
    if (page == 5) continue;
    ASSERT_EQ(data[page * 1024], page * 1024);
  }
}

TEST_P(DroppedEntries, while_threads_write_lose_no_store) {
  constexpr std::size_t bytes = 2 * mib;
  constexpr int rounds = 200;
  std::uint32_t* data = words(bytes);
  std::vector<std::thread> writers;
  for (std::size_t writer = 0; writer < 3; ++writer)
    writers.emplace_back([=] {
      for (int round = 0; round < rounds; ++round)
        for (std::size_t page = 0; page < bytes / 4096; ++page) ++data[page * 1024 + writer];
    });
  std::atomic<bool> done{false};
  std::thread dropper([&] {
    while (!done) {
      advise(data, bytes, MADV_DONTNEED);
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  for (std::thread& writer : writers) writer.join();
  done = true;
  dropper.join();
  for (std::size_t page = 0; page < bytes / 4096; ++page)
    for (std::size_t writer = 0; writer < 3; ++writer)
      ASSERT_EQ(data[page * 1024 + writer], static_cast<std::uint32_t>(rounds));
}

INSTANTIATE_TEST_SUITE_P(grades, DroppedEntries,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::engine
