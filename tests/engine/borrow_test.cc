// Blocks that go back and forth between devices: after a while the bytes stay in the memory of one,
// and the others use it there.
#include "engine_rig.hpp"
#include "plan/planner.hpp"

namespace sluice::engine {
namespace {

class Borrow : public EngineTest {
 protected:
  static constexpr std::size_t size = 5 * mib;  // two blocks, and half of one

  void SetUp() override { open(small_devices(3)); }

  // Device 1 ends with all of it in memory of device 0.
  [[nodiscard]] std::uint32_t* lent() {
    std::uint32_t* data = words(size);
    for (std::uint32_t turn = 0; turn < 4; ++turn)
      expect_done(fill(static_cast<int>(turn % 2), data, size, turn));
    EXPECT_TRUE(is_lent(data));
    return data;
  }
  [[nodiscard]] bool is_lent(const std::uint32_t* data) const {
    return engine->explain(Address::of(data)).find("in memory of device") != std::string::npos;
  }
  [[nodiscard]] std::size_t in_use(int device) const {
    return engine->device_status(device)->in_use;
  }
  [[nodiscard]] std::uint64_t between_devices() const {
    return engine->observer().read_counters().bytes_between_devices;
  }
  static void expect_words(const std::uint32_t* data, std::uint32_t value) {
    for (std::size_t i = 0; i < size / 4; ++i) ASSERT_EQ(data[i], value) << i;
  }
  // A kernel that reads and changes every word.
  void mix(int device, std::uint32_t* data, std::uint64_t seed) {
    expect_done(launch(device, "mix",
                       sluice_soft_mix{reinterpret_cast<std::uint8_t*>(data), 4, seed, 4}, size / 4,
                       {{span(data, size), Access::write}}));
  }
  static void mix_here(std::vector<std::uint32_t>& words, std::uint64_t seed) {
    for (std::size_t i = 0; i < words.size(); ++i)
      words[i] = static_cast<std::uint32_t>(sluice_soft_mixed(words[i], seed, i));
  }
};

TEST_F(Borrow, what_goes_back_and_forth_stays_in_one_memory) {
  std::uint32_t* data = words(size);
  std::vector<std::uint32_t> expected(size / 4, 7);
  expect_done(fill(0, data, size, 7));
  for (std::uint64_t turn = 1; turn <= 9; ++turn) {
    mix(static_cast<int>(turn % 2), data, turn);
    mix_here(expected, turn);
    EXPECT_LE(between_devices(), 2 * size) << "the first two times they move";
  }
  EXPECT_EQ(between_devices(), 2 * size) << "and then no more";
  EXPECT_TRUE(is_lent(data));
  EXPECT_EQ(engine->observer().read_counters().borrowed_blocks, 7 * 3u);
  EXPECT_EQ(holders(data), LocationSet(Location::device(1)));
  EXPECT_EQ(in_use(1), 0u) << "the borrower's own memory went back";
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(data[i], expected[i]) << i;
}

TEST_F(Borrow, a_third_device_borrows_from_the_same_lender) {
  std::uint32_t* data = lent();
  std::vector<std::uint32_t> expected(size / 4, 3);
  const std::uint64_t before = between_devices();
  for (const int device : {2, 0, 2, 1, 0}) {
    mix(device, data, 5);
    mix_here(expected, 5);
  }
  EXPECT_EQ(between_devices(), before);
  EXPECT_FALSE(is_lent(data)) << "it came home";
  EXPECT_EQ(in_use(1) + in_use(2), 0u);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(data[i], expected[i]) << i;
}

TEST_F(Borrow, who_uses_it_alone_has_it_in_its_own_memory_again) {
  std::uint32_t* data = lent();
  for (std::uint32_t use = 0; use < 2 * plan::settle_after; ++use)
    expect_done(fill(1, data, size, 100 + use));
  EXPECT_FALSE(is_lent(data));
  EXPECT_EQ(in_use(0), 0u);
  EXPECT_EQ(holders(data), LocationSet(Location::device(1)));
  expect_words(data, 99 + 2 * plan::settle_after);
}

TEST_F(Borrow, copies_are_made_from_it_and_end_with_the_next_write) {
  std::uint32_t* data = lent();
  expect_words(data, 3);
  LocationSet both = Location::host();
  both.insert(Location::device(1));
  EXPECT_EQ(holders(data), both);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(8));
  expect_done(launch(2, "reduce", sluice_soft_reduce{data, sum}, size / 4,
                     {{span(data, size), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 3 * size / 4);
  data[5] = 9;
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  expect_done(fill(0, data, size, 11));
  expect_words(data, 11);
}

TEST_F(Borrow, a_kernel_that_reads_at_the_lender_is_waited_for) {
  std::uint32_t* data = lent();
  auto* until = words(4, Kind::host);
  *until = 0;
  expect_done(fill(0, data, size, 4));
  const auto reading = launch(0, "spin", sluice_soft_spin{until, 1}, 1,
                              {{span(data, size), Access::read}, {span(until, 4), Access::read}});
  ASSERT_TRUE(reading);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    expect_done(fill(1, data, size, 5));
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(done) << "it would have written under a kernel that reads";
  *until = 1;
  writer.join();
  expect_done(reading);
  expect_words(data, 5);
}

TEST_F(Borrow, freed_and_discarded_memory_goes_back_to_the_lender) {
  std::uint32_t* data = lent();
  ASSERT_TRUE(engine->discard(span(data, size)));
  EXPECT_EQ(data[17], 0u);
  expect_done(fill(1, data, size, 8));
  expect_words(data, 8);
  ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait));
  EXPECT_EQ(in_use(0) + in_use(1), 0u);
}

TEST_F(Borrow, it_leaves_when_the_lenders_memory_is_short) {
  std::uint32_t* data = lent();
  EXPECT_EQ(in_use(0), size);
  const auto all = engine->allocate(32 * mib, Kind::device, 0, HostPages::automatic);
  ASSERT_TRUE(all) << all.error().detail();
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  expect_words(data, 3);
}

TEST_F(Borrow, a_lender_that_dies_takes_the_bytes_with_it) {
  std::uint32_t* data = lent();
  std::uint32_t* other = words(4);
  ASSERT_TRUE(engine->plan_faults(0, "step=launch nth=1 action=kill"));
  (void)fill(0, other, 4, 1);
  ASSERT_TRUE(eventually([&] { return engine->residency(Address::of(data))->lost; }));
  EXPECT_TRUE(load_dies(data));
  EXPECT_THAT(fill(1, data, size, 1), fails_with(ErrorCode::data_lost));
  ASSERT_TRUE(engine->discard(span(data, size)));
  expect_done(fill(1, data, size, 12));
  EXPECT_EQ(data[3], 12u);
  EXPECT_EQ(in_use(0), 0u);
}

TEST_F(Borrow, a_borrower_uses_nothing_of_a_lender_that_died) {
  SpaceOptions options = small_devices(3);
  options.strict = Strict::off;  // what is mapped is what counts here
  open(options);
  std::uint32_t* data = lent();
  mix(2, data, 5);
  (void)launch(0, "crash", 0, 1, {});
  ASSERT_TRUE(eventually([&] { return engine->observer().read_counters().devices_lost == 1; }));
  ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait));
  std::uint32_t* next = words(size);
  ASSERT_EQ(next, data) << "the test needs the same addresses again";
  for (const int device : {1, 2}) {
    const auto wild = launch(device, "store", sluice_soft_store{next, 9, 4}, 1, {});
    ASSERT_TRUE(wild);
    EXPECT_THAT(engine->wait(*wild, {}), fails_with(ErrorCode::device_fault));
  }
}

TEST_F(Borrow, a_borrower_that_dies_gives_the_memory_back) {
  std::uint32_t* data = lent();
  std::uint32_t* other = words(4);
  ASSERT_TRUE(engine->plan_faults(1, "step=launch nth=1 action=kill"));
  (void)fill(1, other, 4, 1);
  ASSERT_TRUE(eventually([&] { return engine->residency(Address::of(data))->lost; }));
  ASSERT_TRUE(eventually([&] { return in_use(0) == 0; }));
  ASSERT_TRUE(engine->discard(span(data, size)));
  expect_done(fill(0, data, size, 13));
  expect_words(data, 13);
}

}  // namespace
}  // namespace sluice::engine
