// Host memory takes huge pages where accesses are dense, and holds no more than 4 KiB pages would
// where they are sparse.
#include "engine_rig.hpp"
#include "program/memory_held.hpp"

namespace sluice::engine {
namespace {

using program::bytes_held;

constexpr std::size_t sparse_size = 32 * mib;

class Density : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(1)); }
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
  EXPECT_LE(bytes_held() - before, offsets.size() * page_size * 5 / 4);
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
