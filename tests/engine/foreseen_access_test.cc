// Host accesses that are answered for the next ones, too: a load that a store to the same page will
// follow takes both rights at once, and a small range is filled and read whole.
#include "engine/engine_rig.hpp"

namespace sluice::engine {
namespace {

class StoresAfterLoads : public EngineTest {
 protected:
  void SetUp() override {
    open(small_devices(1));
    if (HasFatalFailure()) return;
    if (!engine->status().shares_reads)
      GTEST_SKIP() << "the host takes pages over even to read them";
    data = words(page_size);
    data[0] = 1;
  }
  [[nodiscard]] std::uint64_t faults() const {
    return engine->observer().read_counters().cpu_faults;
  }
  // The device writes the page, the host loads a word of it and perhaps stores to it. Returns the
  // accesses that had to be answered.
  std::uint64_t turn(bool stores) {
    ++value;
    expect_done(fill(0, data, 64, value));
    const std::uint64_t before = faults();
    EXPECT_EQ(load(), value);
    if (stores) static_cast<volatile std::uint32_t*>(data)[1] = value;
    return faults() - before;
  }
  [[nodiscard]] std::uint32_t load() const { return *static_cast<volatile std::uint32_t*>(data); }

  std::uint32_t* data = nullptr;
  std::uint32_t value = 1;
};

TEST_F(StoresAfterLoads, loads_that_stores_follow_are_answered_once) {
  for (int i = 0; i < 4; ++i) (void)turn(true);
  std::uint64_t answered = 0;
  constexpr int turns = 64;
  for (int i = 0; i < turns; ++i) answered += turn(true);
  // One in 16 is tried with a load's right alone.
  EXPECT_LE(answered, turns + turns / 8);
  // The device finds the store.
  std::uint32_t* const copied = words(page_size);
  *copied = 0;
  data[1] = 5;
  expect_done(launch(0, "copy",
                     sluice_soft_copy{reinterpret_cast<std::byte*>(copied),
                                      reinterpret_cast<const std::byte*>(data)},
                     16, {{span(data, 16), Access::read}, {span(copied, 16), Access::write}}));
  EXPECT_EQ(copied[1], 5U);
}

TEST_F(StoresAfterLoads, ends_when_stores_no_longer_follow) {
  for (int i = 0; i < 8; ++i) (void)turn(true);
  LocationSet both = Location::host();
  both.insert(Location::device(0));
  int shared = 0;
  for (int i = 0; i < 40; ++i) {
    (void)turn(false);
    if (holders(data) == both) ++shared;
  }
  EXPECT_GE(shared, 40 - 17);
  EXPECT_EQ(holders(data), both);
}

TEST_F(StoresAfterLoads, does_not_wait_for_kernels_that_only_read) {
  for (int i = 0; i < 4; ++i) (void)turn(true);
  std::uint32_t* const go = words(page_size, Kind::host);
  *go = 0;
  expect_done(fill(0, data, 64, 9));
  auto running = launch(0, "spin", sluice_soft_spin{go, 1}, 1,
                        {{span(go, 4), Access::read}, {span(data, 64), Access::read}});
  ASSERT_TRUE(running);
  EXPECT_EQ(load(), 9U);
  *static_cast<volatile std::uint32_t*>(go) = 1;
  expect_done(running);
}

using SmallRange = EngineTest;

TEST_F(SmallRange, is_filled_by_one_answer_and_read_by_one) {
  constexpr std::size_t size = 64 << 10;
  open(small_devices(1));
  volatile std::uint32_t* const data = words(size);
  const auto faults = [&] { return engine->observer().read_counters().cpu_faults; };
  const std::uint64_t before = faults();
  for (std::size_t i = 0; i < size / 4; i += page_size / 4) data[i] = 1;
  EXPECT_EQ(faults() - before, 1U);
  expect_done(fill(0, const_cast<std::uint32_t*>(data), size, 3));
  const std::uint64_t filled = faults();
  for (std::size_t i = 0; i < size / 4; i += page_size / 4) EXPECT_EQ(data[i], 3U);
  EXPECT_EQ(faults() - filled, 1U);
}

// The other pages stay the device's.
TEST_F(SmallRange, a_store_takes_its_page_alone_from_a_device) {
  constexpr std::size_t size = 64 << 10;
  open(small_devices(1));
  std::uint32_t* const data = words(size);
  expect_done(fill(0, data, size, 3));
  data[0] = 4;
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  EXPECT_EQ(holders(data + size / 8), LocationSet(Location::device(0)));
}

}  // namespace
}  // namespace sluice::engine
