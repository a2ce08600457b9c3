// Large freed ranges are given back behind the program, and nobody can tell but by the time.
#include "engine/disposal.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "engine_rig.hpp"
#include "memory_held.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t large = 80 * mib;

std::unique_ptr<Range> range_of(std::size_t blocks) {
  return std::make_unique<Range>(AddressSpan{Address{std::uint64_t{1} << 40}, blocks * block_size},
                                 blocks * block_size, Kind::shared, -1, HostPages::small);
}

TEST(Disposal, ends_ranges_in_order_and_finish_waits_for_all_of_them) {
  std::vector<std::size_t> ended;
  std::atomic<bool> go{false};
  Disposal disposal([&](std::unique_ptr<Range> range) {
    while (!go) std::this_thread::yield();
    ended.push_back(range->pages.size / block_size);
  });
  ASSERT_TRUE(disposal.start());
  EXPECT_FALSE(disposal.finish()) << "nothing is under way";
  for (const std::size_t blocks : {1, 2, 3}) EXPECT_EQ(disposal.take(range_of(blocks)), nullptr);
  go = true;
  EXPECT_TRUE(disposal.finish());
  EXPECT_EQ(ended, (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_FALSE(disposal.finish());
}

TEST(Disposal, gives_a_range_back_where_too_much_is_under_way) {
  std::atomic<bool> go{false};
  Disposal disposal([&](std::unique_ptr<Range>) {
    while (!go) std::this_thread::yield();
  });
  ASSERT_TRUE(disposal.start());
  const std::size_t most = Disposal::most_pending / block_size;
  EXPECT_EQ(disposal.take(range_of(most - 1)), nullptr);
  EXPECT_NE(disposal.take(range_of(2)), nullptr);
  EXPECT_EQ(disposal.take(range_of(1)), nullptr);
  EXPECT_NE(disposal.take(range_of(1)), nullptr);
  go = true;
  EXPECT_TRUE(disposal.finish());
  EXPECT_EQ(disposal.take(range_of(most)), nullptr);
}

TEST(Disposal, ends_everything_when_it_stops) {
  std::atomic<int> ended{0};
  Disposal disposal([&](std::unique_ptr<Range>) { ++ended; });
  ASSERT_TRUE(disposal.start());
  for (int i = 0; i < 60; ++i) (void)disposal.take(range_of(1));
  disposal.stop();
  EXPECT_EQ(ended, 60);
}

class LargeFree : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(2, 128 * mib)); }
  std::uint32_t* written() {
    std::uint32_t* data = words(large);
    for (std::size_t i = 0; i < large / 4; i += 1024) data[i] = 7;
    return data;
  }
  void end(std::uint32_t* data) { ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait)); }
};

TEST_F(LargeFree, makes_the_memory_inaccessible_at_once) {
  for (int round = 0; round < 5; ++round) {
    std::uint32_t* data = written();
    end(data);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(load_dies(data + 5));
    (void)testing::internal::GetCapturedStderr();
    EXPECT_THAT(engine->residency(span(data, large)), fails_with(ErrorCode::unknown_address));
  }
}

TEST_F(LargeFree, gives_the_memory_back) {
  end(written());
  EXPECT_TRUE(eventually([] { return bytes_held() == 0; }));
}

TEST_F(LargeFree, the_next_range_reads_as_zeros_wherever_it_lies) {
  for (int round = 0; round < 6; ++round) {
    std::uint32_t* data = words(large);
    for (std::size_t i = 0; i < large / 4; i += 512) {
      ASSERT_EQ(data[i], 0U);
      data[i] = 7;
    }
    if (round % 2 == 0) expect_done(fill(round / 2 % 2, data, large, 9));
    end(data);
  }
}

TEST_F(LargeFree, what_is_under_way_is_no_reason_to_refuse_the_next_allocation) {
  SpaceOptions options = small_devices(1);
  options.host_budget = large + large / 2;
  options.address_space = 256 * mib;
  open(options);
  for (int round = 0; round < 20; ++round) {
    auto base = engine->allocate(large, Kind::shared, -1, HostPages::automatic);
    ASSERT_TRUE(base) << base.error().detail();
    *reinterpret_cast<std::uint32_t*>(base->value) = 1;
    ASSERT_TRUE(engine->free(*base, FreeMode::wait));
  }
}

TEST_F(LargeFree, a_space_may_close_meanwhile) {
  for (int round = 0; round < 5; ++round) {
    open(small_devices(1));
    end(written());
    end(written());
  }
  engine = nullptr;
  EXPECT_EQ(bytes_held(), 0U);
}

TEST_F(LargeFree, a_child_forked_meanwhile_ends_well) {
  end(written());
  const pid_t child = ::fork();
  if (child == 0) {
    engine = nullptr;
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  end(written());
}

}  // namespace
}  // namespace sluice::engine
