// Large freed ranges are given back behind the program, and nobody can tell but by the time.
#include "engine/disposal.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "engine_rig.hpp"
#include "os/failing_calls.hpp"
#include "program/memory_held.hpp"

namespace sluice::engine {
namespace {

using program::bytes_held;

constexpr std::size_t large = 80 * mib;

std::unique_ptr<Range> range_of(std::size_t blocks) {
  return std::make_unique<Range>(AddressSpan{Address{std::uint64_t{1} << 40}, blocks * block_size},
                                 blocks * block_size, Kind::shared, -1, HostPages::small);
}

// A disposal that writes down what it does, and waits before each step until it may go on.
struct Steps {
  std::atomic<bool> leave{true};
  std::atomic<bool> end{true};
  std::vector<std::size_t> left{};  // blocks of each range
  std::vector<std::size_t> ended{};
  Disposal disposal{{[this](Range& range) {
                       while (!leave) std::this_thread::yield();
                       left.push_back(range.blocks.size());
                     },
                     [this](std::unique_ptr<Range> range) {
                       while (!end) std::this_thread::yield();
                       ended.push_back(range->blocks.size());
                     },
                     nullptr}};
};

TEST(Disposal, ends_ranges_in_order_and_finish_waits_for_all_of_them) {
  Steps steps;
  ASSERT_TRUE(steps.disposal.start());
  EXPECT_FALSE(steps.disposal.finish()) << "nothing is under way";
  steps.end = false;
  for (const std::size_t blocks : {1, 2, 3})
    EXPECT_EQ(steps.disposal.take(range_of(blocks)), nullptr);
  (void)steps.disposal.finish_on_devices();
  EXPECT_EQ(steps.left, (std::vector<std::size_t>{1, 2, 3})) << "though none has ended";
  steps.end = true;
  EXPECT_TRUE(steps.disposal.finish());
  EXPECT_EQ(steps.ended, (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_FALSE(steps.disposal.finish());
  EXPECT_FALSE(steps.disposal.finish_on_devices());
}

TEST(Disposal, gives_a_range_back_where_too_much_is_under_way) {
  Steps steps;
  steps.leave = false;
  ASSERT_TRUE(steps.disposal.start());
  const std::size_t most = Disposal::most_pending / block_size;
  EXPECT_EQ(steps.disposal.take(range_of(most - 1)), nullptr);
  EXPECT_NE(steps.disposal.take(range_of(2)), nullptr);
  EXPECT_EQ(steps.disposal.take(range_of(1)), nullptr);
  EXPECT_NE(steps.disposal.take(range_of(1)), nullptr);
  steps.leave = true;
  EXPECT_TRUE(steps.disposal.finish());
  EXPECT_EQ(steps.disposal.take(range_of(most)), nullptr);
}

TEST(Disposal, ends_everything_when_it_stops) {
  Steps steps;
  ASSERT_TRUE(steps.disposal.start());
  for (int i = 0; i < 60; ++i) EXPECT_EQ(steps.disposal.take(range_of(1)), nullptr);
  steps.disposal.stop();
  EXPECT_EQ(steps.ended.size(), 60U);
}

// Disposal in an engine.
class FreedRanges : public EngineTest {
 protected:
  void end(std::uint32_t* data) { ASSERT_TRUE(engine->free(Address::of(data), FreeMode::wait)); }
  // A forked child ends its copy of the engine, where no thread of the disposal is.
  void expect_child_leaves() {
    const pid_t child = ::fork();
    if (child == 0) {
      engine = nullptr;
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
};

class LargeFree : public FreedRanges {
 protected:
  void SetUp() override { open(small_devices(2, 128 * mib)); }
  std::uint32_t* written() {
    std::uint32_t* data = words(large);
    for (std::size_t i = 0; i < large / 4; i += 1024) data[i] = 7;
    return data;
  }
};

TEST_F(LargeFree, makes_the_memory_inaccessible_at_once) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "an access after free races with the thread that unmaps, as it should";
#endif
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
  expect_child_leaves();
  end(written());
}

TEST_F(LargeFree, what_is_under_way_on_a_device_is_no_reason_to_evict_or_to_refuse) {
  SpaceOptions options = small_devices(1, 128 * mib);
  options.overflow = Overflow::refuse;
  open(options);
  for (std::uint32_t round = 1; round <= 12; ++round) {
    std::uint32_t* data = words(large);
    expect_done(fill(0, data, large, round));
    if (round % 3 == 0) {
      EXPECT_EQ(data[large / 8], round);
    }
    end(data);
  }
  EXPECT_EQ(engine->observer().read_counters().evicted_blocks, 0U);
}

TEST_F(LargeFree, a_device_is_reset_after_what_is_under_way) {
  for (int round = 0; round < 4; ++round) {
    std::uint32_t* data = words(large);
    std::uint32_t* other = words(large);
    expect_done(fill(0, data, large, 3));
    ASSERT_TRUE(engine->plan_faults(0, "step=map nth=1 action=kill"));
    EXPECT_FALSE(fill(0, other, large, 4));
    end(data);
    end(other);
    ASSERT_TRUE(engine->reset_device(0));
    std::uint32_t* next = words(large);
    expect_done(fill(0, next, large, 5));
    EXPECT_EQ(next[large / 8], 5U);
    end(next);
  }
  EXPECT_TRUE(eventually([&] { return engine->device_status(0)->in_use == 0; }));
}

TEST(HostPool, gives_out_the_latest_of_a_size_and_kind_and_the_oldest_to_make_room) {
  HostPool pool;
  pool.use(4 * block_size);
  const auto views = [](std::uint64_t at, std::size_t blocks, HostPages wanted) {
    return PooledViews{{Address{at * mib}, blocks * block_size}, wanted, HostPages::transparent};
  };
  pool.put(views(10, 1, HostPages::automatic));
  pool.put(views(20, 1, HostPages::automatic));
  pool.put(views(30, 1, HostPages::small));
  pool.put(views(40, 2, HostPages::automatic));
  EXPECT_EQ(pool.take_oldest()->pages.begin.value, 10 * mib);
  EXPECT_EQ(pool.take(3 * block_size, HostPages::automatic), std::nullopt);
  EXPECT_EQ(pool.take(2 * block_size, HostPages::small), std::nullopt);
  EXPECT_EQ(pool.take(block_size, HostPages::small)->pages.begin.value, 30 * mib);
  EXPECT_EQ(pool.take(block_size, HostPages::automatic)->pages.begin.value, 20 * mib);
  EXPECT_EQ(pool.size(), 2 * block_size);
}

TEST(HostPool, gives_views_with_memory_first_and_keeps_a_few_without) {
  HostPool pool;
  EXPECT_FALSE(pool.wants_without_memory()) << "it is not in use";
  pool.use(std::size_t{1} << 30);
  const auto put = [&](std::uint64_t at, bool has_memory) {
    pool.put({{Address{at * mib}, block_size}, HostPages::small, HostPages::small, has_memory});
  };
  put(10, true);
  std::uint64_t kept = 0;
  for (; pool.wants_without_memory(); ++kept) put(20 + 2 * kept, false);
  EXPECT_GT(kept, 1U);
  EXPECT_LT(kept, 100U);
  EXPECT_EQ(pool.size(), block_size) << "the others hold no memory";
  EXPECT_EQ(pool.take(block_size, HostPages::small)->pages.begin.value, 10 * mib);
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_EQ(pool.take_oldest()->pages.begin.value, 20 * mib);
  EXPECT_TRUE(pool.wants_without_memory());
  for (; kept > 1; --kept) EXPECT_TRUE(pool.take(block_size, HostPages::small));
  EXPECT_EQ(pool.take(block_size, HostPages::small), std::nullopt);
}

// Memory that the next range takes over, with all that may go wrong in between.
class PooledMemory : public FreedRanges {
 protected:
  static constexpr std::size_t size = 3 * mib;

  void SetUp() override {
    open(pooling());
    if (engine->status().grade == Grade::signal) {
      EXPECT_EQ(engine->status().host_pool, 0U);
      GTEST_SKIP() << "in grade signal nothing is pooled";
    }
  }
  static SpaceOptions pooling(std::size_t limit = 64 * mib) {
    SpaceOptions options = small_devices(2);
    options.host_pool = limit;
    return options;
  }
  std::uint32_t* written(std::size_t bytes = size) {
    std::uint32_t* data = words(bytes);
    for (std::size_t i = 0; i < bytes / 4; ++i) data[i] = 7;
    return data;
  }
  [[nodiscard]] bool comes_to_pool(std::size_t bytes) const {
    return eventually([&] { return engine->status().host_pooled == bytes; });
  }
  static void expect_zeros(const std::uint32_t* data, std::size_t bytes = size) {
    for (std::size_t i = 0; i < bytes / 4; ++i) ASSERT_EQ(data[i], 0U) << i;
  }
};

TEST_F(PooledMemory, comes_back_at_its_address_as_zeros) {
  for (int round = 0; round < 4; ++round) {
    std::uint32_t* data = written();
    end(data);
    ASSERT_TRUE(comes_to_pool(size));
    std::uint32_t* next = words(size);
    EXPECT_EQ(next, data);
    EXPECT_EQ(engine->status().host_pooled, 0U);
    expect_zeros(next);
    end(next);
    ASSERT_TRUE(comes_to_pool(size));
  }
}

// Views of ranges that nobody used come back, too, and hold no memory meanwhile.
TEST_F(PooledMemory, of_an_unused_range_is_its_views) {
  for (const std::size_t bytes : {size, 32 * mib}) {
    std::uint32_t* data = words(bytes);
    for (int round = 0; round < 3; ++round) {
      const std::size_t held = bytes_held();
      end(data);
      EXPECT_EQ(engine->status().host_pooled, 0U);
      testing::internal::CaptureStderr();
      EXPECT_TRUE(load_dies(data));
      (void)testing::internal::GetCapturedStderr();
      EXPECT_EQ(words(bytes), data) << bytes;
      EXPECT_LE(bytes_held(), held);
    }
    data[0] = 3;
    expect_done(fill(0, data, page_size, 9));
    EXPECT_EQ(data[0], 9U);
    end(data);
    expect_zeros(words(bytes), bytes);
  }
}

TEST_F(PooledMemory, is_inaccessible_meanwhile) {
  std::uint32_t* data = written();
  end(data);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(load_dies(data + 5));
  ASSERT_TRUE(comes_to_pool(size));
  EXPECT_TRUE(load_dies(data + 5));
  (void)testing::internal::GetCapturedStderr();
}

TEST_F(PooledMemory, shows_no_byte_of_a_device_before) {
  std::uint32_t* data = written();
  expect_done(fill(0, data, size, 9));
  end(data);
  ASSERT_TRUE(comes_to_pool(size));
  std::uint32_t* next = words(size);
  ASSERT_EQ(next, data);
  std::uint32_t* sum = words(page_size);
  expect_done(launch(1, "reduce", sluice_soft_reduce{next, reinterpret_cast<std::uint64_t*>(sum)},
                     size / 4, {{span(next, size), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*reinterpret_cast<std::uint64_t*>(sum), 0U);
  expect_zeros(next);
}

TEST_F(PooledMemory, shows_no_old_byte_after_a_device_was_lost) {
  std::uint32_t* data = written();
  expect_done(fill(0, data, size, 9));
  ASSERT_TRUE(engine->plan_faults(0, "step=copy nth=1 action=kill"));
  (void)fill(1, data, size, 5);
  end(data);
  ASSERT_TRUE(comes_to_pool(size));
  expect_zeros(words(size));
}

TEST_F(PooledMemory, is_not_kept_where_it_is_sparse_or_over_the_limit) {
  std::uint32_t* sparse = words(size);
  sparse[0] = 1;
  end(sparse);
  EXPECT_TRUE(eventually([] { return bytes_held() == 0; }));
  open(pooling(8 * size));
  std::vector<std::uint32_t*> ranges;
  for (int i = 0; i < 10; ++i) ranges.push_back(written());
  for (std::uint32_t* data : ranges) end(data);
  EXPECT_TRUE(comes_to_pool(8 * size));
  EXPECT_TRUE(eventually([] { return bytes_held() <= 8 * 2 * block_size; }));
  end(written(2 * size));
  EXPECT_TRUE(eventually([] { return bytes_held() <= 8 * 2 * block_size; })) << "too large";
}

TEST_F(PooledMemory, is_given_back_when_no_range_was_freed_for_a_while) {
  end(written());
  ASSERT_TRUE(comes_to_pool(size));
  EXPECT_TRUE(comes_to_pool(0));
  EXPECT_TRUE(eventually([] { return bytes_held() == 0; }));
}

TEST_F(PooledMemory, is_given_back_to_a_budget_that_ran_out) {
  SpaceOptions options = pooling();
  options.host_budget = 2 * size;
  open(options);
  for (int round = 0; round < 5; ++round) {
    end(written());
    auto base = engine->allocate(2 * size, Kind::shared, -1, HostPages::automatic);
    ASSERT_TRUE(base) << base.error().detail();
    ASSERT_TRUE(engine->free(*base, FreeMode::wait));
  }
}

TEST_F(PooledMemory, does_not_outlive_its_space_and_a_child_has_none) {
  std::uint32_t* data = written();
  end(data);
  ASSERT_TRUE(comes_to_pool(size));
  expect_child_leaves();
  engine = nullptr;
  EXPECT_EQ(bytes_held(), 0U);
}

TEST_F(PooledMemory, that_cannot_be_opened_again_is_no_reason_to_refuse_a_range) {
  for (const bool opens : {false, true}) {
    std::uint32_t* data = written();
    end(data);
    ASSERT_TRUE(comes_to_pool(size));
    os::FailingCalls calls;
    if (!opens) calls.fail(&os::Calls::mprotect, 1, ENOMEM);
    std::uint32_t* next = words(size);
    ASSERT_NE(next, nullptr);
    expect_zeros(next);
    end(next);
    ASSERT_TRUE(comes_to_pool(size));
  }
  engine = nullptr;
  EXPECT_EQ(bytes_held(), 0U);
}

TEST_F(PooledMemory, is_shared_out_among_threads) {
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 4; ++number)
    threads.emplace_back([this, number] {
      for (std::uint32_t round = 0; round < 30; ++round) {
        const std::size_t bytes = (number + round) % 2 == 0 ? mib / 4 : 2 * mib;
        std::uint32_t* data = words(bytes);
        for (std::size_t i = 0; i < bytes / 4; ++i) {
          ASSERT_EQ(data[i], 0U);
          data[i] = round + 1;
        }
        end(data);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice::engine
