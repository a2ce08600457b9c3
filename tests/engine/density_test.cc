// Host memory takes huge pages where accesses are dense, and holds no more than 4 KiB pages would
// where they are sparse.
#include <chrono>
#include <thread>

#include "engine_rig.hpp"
#include "program/memory_held.hpp"

namespace sluice::engine {
namespace {

using program::bytes_held;

constexpr std::size_t sparse_size = 32 * mib;

class Density : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(1)); }
  bool goes_by_density() {
    const Status status = engine->status();
    return status.grade != Grade::signal && status.no_private_tmpfs.empty();
  }
  static bool comes_to_hold_at_most(std::size_t bytes) {
    for (int i = 0; i < 6000; ++i) {
      if (bytes_held() <= bytes) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  // One page at each of these distances.
  static std::vector<std::size_t> sparse_offsets() {
    std::vector<std::size_t> offsets;
    for (std::size_t offset = 0; offset < sparse_size / 2; offset += 16 * page_size)
      offsets.push_back(offset);
    for (std::size_t offset = sparse_size / 2; offset < sparse_size; offset += block_size)
      offsets.push_back(offset + 77 * page_size);
    return offsets;
  }
};

TEST_F(Density, sparse_stores_hold_what_small_pages_would) {
  std::uint32_t* data = words(sparse_size);
  const std::vector<std::size_t> offsets = sparse_offsets();
  const std::size_t before = bytes_held();
  for (const std::size_t offset : offsets) data[offset / 4] = 1;
  // The first block may have had a huge page for a moment.
  EXPECT_TRUE(comes_to_hold_at_most(before + offsets.size() * page_size * 5 / 4)) << bytes_held();
  for (const std::size_t offset : offsets) EXPECT_EQ(data[offset / 4], 1U) << offset;
}

TEST_F(Density, a_first_store_takes_a_huge_page_until_its_thread_goes_elsewhere) {
  if (!goes_by_density()) GTEST_SKIP() << "no private tmpfs here, or Linux answers first touches";
  std::uint32_t* data = words(sparse_size);
  const std::size_t before = bytes_held();
  data[1] = 1;
  EXPECT_EQ(bytes_held(), before + block_size);
  data[5 * block_size / 4] = 2;
  EXPECT_TRUE(comes_to_hold_at_most(before + 2 * page_size)) << bytes_held();
  data[9 * block_size / 4] = 3;
  EXPECT_TRUE(comes_to_hold_at_most(before + 3 * page_size)) << bytes_held();
  EXPECT_EQ(data[1] + data[5 * block_size / 4] + data[9 * block_size / 4], 6U);
}

TEST_F(Density, a_huge_page_that_is_not_filled_is_given_back_after_a_while) {
  if (!goes_by_density()) GTEST_SKIP() << "no private tmpfs here, or Linux answers first touches";
  std::uint32_t* data = words(sparse_size);
  const std::size_t before = bytes_held();
  data[1] = 1;
  EXPECT_TRUE(comes_to_hold_at_most(before + page_size)) << bytes_held();
  for (std::size_t i = 0; i < 2 * block_size / 4; ++i) ASSERT_EQ(data[i], i == 1 ? 1U : 0U);
}

TEST_F(Density, a_huge_page_that_a_device_has_read_stays) {
  if (!goes_by_density()) GTEST_SKIP() << "no private tmpfs here, or Linux answers first touches";
  std::uint32_t* data = words(sparse_size);
  data[1] = 1;
  expect_done(fill(0, data + 16 * page_size / 4, page_size, 5));
  data[5 * block_size / 4] = 2;
  data[9 * block_size / 4] = 3;
  EXPECT_EQ(data[1], 1U);
  EXPECT_EQ(data[16 * page_size / 4], 5U);
  EXPECT_EQ(data[5 * block_size / 4], 2U);
}

TEST_F(Density, sparse_reads_of_a_device_hold_what_small_pages_would) {
  std::uint32_t* data = words(sparse_size);
  expect_done(fill(0, data, sparse_size, 9));
  const std::size_t before = bytes_held();
  for (std::size_t at = 77 * page_size; at < sparse_size; at += block_size)
    EXPECT_EQ(data[at / 4], 9u);
  EXPECT_LE(bytes_held() - before, sparse_size / block_size * page_size * 5 / 4);
}

TEST_F(Density, freed_memory_is_given_back_and_comes_back_as_zeros) {
  for (int round = 0; round < 2; ++round) {
    std::uint32_t* data = words(sparse_size);
    for (std::size_t i = 0; i < sparse_size / 4; i += 512) {
      ASSERT_EQ(data[i], 0u);
      data[i] = 7;
    }
    EXPECT_GE(bytes_held(), sparse_size);
    ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait));
    EXPECT_EQ(bytes_held(), 0u);
  }
}

}  // namespace
}  // namespace sluice::engine
