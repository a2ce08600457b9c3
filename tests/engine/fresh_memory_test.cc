// Memory comes to be ahead of a writer that goes through a range in order, and is registered behind
// it.
#include <chrono>
#include <thread>

#include "engine/read_ahead.hpp"
#include "engine_rig.hpp"
#include "parts_rig.hpp"
#include "program/memory_held.hpp"

namespace sluice::engine {
namespace {

using program::bytes_held;

using namespace std::chrono_literals;

constexpr std::size_t range_size = 64 * mib;
constexpr std::size_t words_of_block = block_size / sizeof(std::uint32_t);

class FreshMemory : public EngineTest {
 protected:
  void SetUp() override {
    open(small_devices(1));
    if (engine->status().grade == Grade::signal)
      GTEST_SKIP() << "in grade signal Linux answers first touches by itself";
  }
  static bool comes_to_hold(std::size_t bytes) {
    for (int i = 0; i < 6000; ++i) {
      if (bytes_held() >= bytes) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
};

TEST_F(FreshMemory, exists_ahead_of_a_writer_that_goes_on_in_order) {
  std::uint32_t* data = words(range_size);
  const std::size_t written = 3 * words_of_block + 1;
  for (std::size_t i = 0; i < written; ++i) data[i] = 7;
  // The second block or so asks for the next one, the next for three more: it depends on who comes
  // first.
  EXPECT_TRUE(comes_to_hold(6 * block_size)) << bytes_held();
  EXPECT_LE(bytes_held(), 11 * block_size);
  for (std::size_t i = written; i < range_size / 4; ++i) ASSERT_EQ(data[i], 0U) << i;
}

TEST_F(FreshMemory, is_zero_where_it_was_made_ahead_and_takes_every_store) {
  std::uint32_t* data = words(range_size);
  for (std::size_t i = 0; i < range_size / 4; ++i) {
    ASSERT_EQ(data[i], 0U) << i;
    data[i] = static_cast<std::uint32_t>(i);
  }
  for (std::size_t i = 0; i < range_size / 4; ++i)
    ASSERT_EQ(data[i], static_cast<std::uint32_t>(i));
}

TEST_F(FreshMemory, is_not_made_ahead_of_a_reader) {
  std::uint32_t* data = words(range_size);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 3 * words_of_block; ++i) sum += data[i];
  EXPECT_EQ(sum, 0U);
  std::this_thread::sleep_for(50ms);  // a thread that made some would need less
  EXPECT_LE(bytes_held(), 3 * block_size);
}

TEST_F(FreshMemory, that_a_device_has_is_left_to_it) {
  std::uint32_t* data = words(range_size);
  const std::size_t device_part = 8 * block_size;
  expect_done(fill(0, data + device_part / 4, device_part, 5));
  for (std::size_t i = 0; i < device_part / 4; ++i) data[i] = 7;
  for (std::size_t i = device_part / 4; i < device_part / 2; ++i) ASSERT_EQ(data[i], 5U) << i;
}

// The registration is seen by a device that keeps host memory.
class RegisteredBehind : public PartsTest {
 protected:
  RegisteredBehind() {
    device::Traits traits = device::fake_traits();
    traits.keeps_host_memory = true;
    devices.add(std::make_unique<FakeDevice>(recoverable + 1, journal, traits));
    auto reserved = os::HostMemory::reserve(64 * block_size, 0);
    EXPECT_TRUE(reserved);
    memory = std::move(*reserved);
    mover = std::make_unique<BlockMover>(readiness, stages, abilities);
    ahead = std::make_unique<ReadAhead>(
        ReadAheadParts{ranges, readiness, stages, *mover, *memory, headroom, devices, abilities});
    EXPECT_TRUE(ahead->start(source));
  }
  void write_all(Range& range) {
    for (Block& block : range.blocks) {
      const ScopedClaim claim(block.claim);
      arrange(range, block, [&](BlockState& state) {
        state.directory.publish(Location::host(), state.directory.every_page());
      });
    }
  }
  void fill(Range& range, std::initializer_list<std::size_t> blocks) {
    for (const std::size_t block : blocks) ahead->note_filled(range, range.blocks[block]);
  }
  // The lines of the device that keeps host memory, once the threads have ended.
  std::vector<std::string> registered() {
    ahead->stop();
    std::vector<std::string> lines;
    for (std::string& line : journal.take())
      if (line.rfind(std::to_string(recoverable + 1), 0) == 0) lines.push_back(std::move(line));
    return lines;
  }

  std::unique_ptr<os::HostMemory> memory;
  MemoryHeadroom headroom;
  std::unique_ptr<BlockMover> mover;
  std::unique_ptr<ReadAhead> ahead;
};

TEST_F(RegisteredBehind, four_blocks_at_a_time) {
  Range& range = make_range(20);
  write_all(range);
  fill(range, {0, 1, 2, 3, 4});
  EXPECT_THAT(registered(), testing::ElementsAre("3 expect copies of +0 x2048"));
}

TEST_F(RegisteredBehind, in_whatever_order_they_are_filled) {
  Range& range = make_range(20);
  write_all(range);
  fill(range, {11, 8, 3, 9, 14, 10, 4});
  EXPECT_THAT(registered(), testing::ElementsAre("3 expect copies of +4096 x2048"));
}

TEST_F(RegisteredBehind, the_rest_at_the_end) {
  Range& range = make_range(18);
  write_all(range);
  fill(range, {16, 17});
  EXPECT_THAT(registered(), testing::ElementsAre("3 expect copies of +8192 x1024"));
}

TEST_F(RegisteredBehind, once) {
  Range& range = make_range(4);
  write_all(range);
  for (int times = 0; times < 2; ++times) fill(range, {0, 1, 2, 3});
  EXPECT_THAT(registered(), testing::ElementsAre("3 expect copies of +0 x2048"));
}

TEST_F(RegisteredBehind, only_where_the_memory_is_the_hosts_still) {
  Range& range = make_range(4);
  write_all(range);
  Block& hole = range.blocks[2];
  {
    const ScopedClaim claim(hole.claim);
    arrange(range, hole, [&](BlockState& state) {
      state.directory.drop(Location::host(), PageMask(PageSpan{3, 1}));
    });
  }
  fill(range, {0, 1, 2, 3});
  EXPECT_THAT(registered(),
              testing::ElementsAre("3 expect copies of +0 x1024", "3 expect copies of +1536 x512"));
}

TEST_F(RegisteredBehind, not_before_all_of_four_are_filled) {
  Range& range = make_range(20);
  write_all(range);
  fill(range, {0, 1, 2, 4, 5, 16, 17, 18});
  EXPECT_THAT(registered(), testing::IsEmpty());
}

// A space with one device, which maps memory for what the host fills.
class PreparedFor : public RegisteredBehind {
 protected:
  void SetUp() override {
    ahead.reset();
    devices.clear();
    device::Traits traits = device::fake_traits();
    traits.keeps_host_memory = true;
    devices.add(std::make_unique<FakeDevice>(0, journal, traits));
    ahead = std::make_unique<ReadAhead>(
        ReadAheadParts{ranges, readiness, stages, *mover, *memory, headroom, devices, abilities});
    ASSERT_TRUE(ahead->start(source));
    (void)journal.take();
  }
};

TEST_F(PreparedFor, the_whole_range_once_its_first_block_is_filled) {
  Range& range = make_range(40);
  write_all(range);
  fill(range, {5, 6, 20});
  ahead->stop();
  EXPECT_THAT(journal.take(),
              testing::ElementsAre("0 expect use of +0 x16384", "0 expect use of +16384 x4096"));
}

}  // namespace
}  // namespace sluice::engine
