// Small ranges, which share segments: each behaves as if it were alone.
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <thread>

#include "engine/mappings.hpp"
#include "engine/segments.hpp"
#include "engine_rig.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::engine {
namespace {

using testing::HasSubstr;

class SmallRanges : public EngineTest, public testing::WithParamInterface<Grade> {
 protected:
  void open_here(int count = 1) {
    SpaceOptions options = small_devices(count);
    options.best_grade = GetParam();
    open(options);
  }
  [[nodiscard]] std::uint32_t* small(std::size_t size = 100, std::string_view name = {}) const {
    auto base = engine->allocate(size, Kind::shared, -1, HostPages::automatic, name);
    EXPECT_TRUE(base) << base.error().detail();
    return reinterpret_cast<std::uint32_t*>(base->value);
  }
  void free(const std::uint32_t* base) {
    const auto freed = engine->free(Address::of(base), FreeMode::wait);
    EXPECT_TRUE(freed) << freed.error().detail();
  }
  [[nodiscard]] static std::uint32_t* cell_after(std::uint32_t* base, std::size_t count = 1) {
    return base + count * cell_size / sizeof *base;
  }
};

TEST_P(SmallRanges, lie_side_by_side_and_share_their_mappings) {
  open_here(0);
  std::uint32_t* const first = small();
  EXPECT_EQ(Address::of(first).value % cell_size, 0U);
  const std::size_t before = os::inspect_mapping_limit().in_use;
  for (std::size_t i = 1; i < 400; ++i) ASSERT_EQ(small(page_size), cell_after(first, i));
  EXPECT_LT(os::inspect_mapping_limit().in_use, before + 8);
  EXPECT_EQ(engine->status().ranges, 400U);
  EXPECT_EQ(engine->status().bytes, 400 * page_size);
}

TEST_P(SmallRanges, of_special_kinds_have_views_of_their_own) {
  open_here();
  (void)small();
  for (const std::uint32_t* const base :
       {words(100, Kind::host), words(100, Kind::device, 0), words(block_size)})
    EXPECT_EQ(Address::of(base).value % block_size, 0U);
}

TEST_P(SmallRanges, keep_their_names_bounds_and_errors) {
  open_here();
  std::uint32_t* const a = small(5000, "apples");
  std::uint32_t* const b = small(100, "pears");
  ASSERT_EQ(b, cell_after(a));
  EXPECT_EQ(engine->range_of(Address::of(a) + 4999)->name, "apples");
  EXPECT_EQ(engine->range_of(Address::of(b) + 99)->base, b);
  EXPECT_EQ(engine->range_of(Address::of(b))->size, 100U);
  EXPECT_THAT(engine->explain(Address::of(b) + 4), HasSubstr("byte 4 of the shared range 'pears'"));
  EXPECT_THAT(engine->range_of(Address::of(a) + 8192), fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(engine->discard(span(a, cell_size + 4)), fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(engine->advise(span(a, cell_size + 4), AdviceKind::read_mostly, Location::host()),
              fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(engine->lease(span(b, 4097), Location::host(), Access::read),
              fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(fill(0, b, 8192, 1), fails_with(ErrorCode::unknown_address));
  std::uint32_t word = 0;
  EXPECT_THAT(engine->copy(&word, b + 25, 4), fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(engine->free(Address::of(b) + 4, FreeMode::wait),
              fails_with(ErrorCode::unknown_address));
  free(b);
  EXPECT_THAT(engine->free(Address::of(b), FreeMode::wait), fails_with(ErrorCode::unknown_address));
  EXPECT_THAT(engine->range_of(Address::of(b)), fails_with(ErrorCode::unknown_address));
  EXPECT_EQ(engine->range_of(Address::of(a))->name, "apples");
}

TEST_P(SmallRanges, end_where_they_end) {
  open_here();
  std::uint32_t* const a = small(page_size);
  std::uint32_t* const b = small(page_size);
  a[0] = 1;
  b[0] = 2;
  EXPECT_TRUE(load_dies(a + page_size / 4)) << "the rest of its cell";
  EXPECT_TRUE(load_dies(cell_after(b, 3))) << "a cell that nobody had";
  free(b);
  EXPECT_TRUE(load_dies(b));
  EXPECT_TRUE(load_dies(b)) << "again";
  EXPECT_EQ(a[0], 1U);
  for (int i = 0; i < 8; ++i) {
    std::uint32_t* const next = small(page_size);
    EXPECT_EQ(next[0], 0U);
    next[0] = 7;
  }
  free(a);
  std::uint32_t* const whole = small(cell_size);
  ASSERT_EQ(whole, a);
  for (std::size_t i = 0; i < cell_size / 4; i += page_size / 4) EXPECT_EQ(whole[i], 0U);
}

TEST_P(SmallRanges, do_not_move_each_other) {
  open_here(2);
  std::uint32_t* const host = small(page_size);
  std::uint32_t* const device = small(page_size);
  std::uint32_t* const until = words(page_size, Kind::host);
  host[0] = 1;
  *until = 0;
  expect_done(fill(0, device, page_size, 5));
  EXPECT_EQ(holders(device), LocationSet(Location::device(0)));
  EXPECT_EQ(holders(host), LocationSet(Location::host()));
  // A kernel may write the one for as long as it likes.
  const auto kernel = occupy(0, device, page_size, until);
  ASSERT_TRUE(kernel);
  host[1] = 2;
  std::uint32_t* const later = small(page_size);
  later[0] = 3;
  expect_done(fill(1, host, page_size, 4));
  EXPECT_EQ(host[1], 4U);
  EXPECT_THAT(engine->free(Address::of(device), FreeMode::refuse), fails_with(ErrorCode::busy));
  free(later);
  EXPECT_EQ(engine->poll(*kernel), device::FenceState::pending);
  *until = 1;
  expect_done(kernel);
}

TEST_P(SmallRanges, are_leased_and_mapped_one_by_one) {
  open_here(2);
  std::uint32_t* const leased = small(page_size);
  std::uint32_t* const beside = small(page_size);
  const auto lease = engine->lease(span(leased, page_size), Location::device(0), Access::write);
  ASSERT_TRUE(lease);
  beside[0] = 1;
  EXPECT_TRUE(engine->discard(span(beside, page_size)));
  expect_done(fill(1, beside, page_size, 2));
  EXPECT_EQ(beside[0], 2U);
  free(beside);
  EXPECT_THAT(engine->free(Address::of(leased), FreeMode::wait), fails_with(ErrorCode::busy));
  engine->end_lease(*lease);

  std::uint32_t* const mapped = small(page_size);
  std::uint32_t* const other = small(page_size);
  const mapping::Request request{.parts = {span(mapped, page_size)}, .devices = {0, 1}};
  const auto task = engine->mappings().start(request, device::Clock::time_point::max());
  ASSERT_TRUE(task);
  ASSERT_TRUE(engine->mappings().wait(**task, {}));
  other[0] = 1;
  free(other);
  EXPECT_THAT(engine->free(Address::of(mapped), FreeMode::wait), fails_with(ErrorCode::busy));
  EXPECT_TRUE(engine->free(Address::of(mapped), FreeMode::unmap));
  free(leased);
}

TEST_P(SmallRanges, that_are_touched_in_order_are_given_some_at_a_time) {
  open_here();
  constexpr std::size_t count = 200;
  std::vector<std::uint32_t*> ranges;
  for (std::size_t i = 0; i < count; ++i) ranges.push_back(small());
  std::uint32_t* const elsewhere = ranges[150];
  expect_done(fill(0, elsewhere, 100, 9));
  const std::uint64_t before = engine->observer().read_counters().cpu_faults;
  for (std::uint32_t* const data : ranges) {
    if (data == elsewhere) continue;
    data[0] = 1;
    EXPECT_EQ(data[1], 0U);
  }
  EXPECT_LT(engine->observer().read_counters().cpu_faults - before, count / 3);
  EXPECT_EQ(holders(elsewhere), LocationSet(Location::device(0))) << "it was touched before";
  EXPECT_EQ(elsewhere[20], 9U);
}

// --- recycled memory -----------------------------------------------------------------------------

TEST_P(SmallRanges, come_back_as_zeros) {
  open_here(1);
  std::uint32_t* const neighbour = small();
  neighbour[0] = 77;
  std::uint32_t* const base = small(3 * page_size);
  for (int round = 0; round < 20; ++round) {
    std::uint32_t* const data = small(3 * page_size);
    for (std::size_t i = 0; i < 3 * page_size / 4; ++i) ASSERT_EQ(data[i], 0U) << round;
    if (round % 2 == 0) expect_done(fill(0, data, 3 * page_size, 9));
    std::memset(data, 0x5a, 2 * page_size);
    free(data);
  }
  EXPECT_EQ(neighbour[0], 77U);
  free(base);
  // The device, too, starts with zeros.
  std::uint32_t* const data = small(page_size);
  auto* const sum = reinterpret_cast<std::uint64_t*>(small(8));
  expect_done(launch(0, "reduce", sluice_soft_reduce{data, sum}, page_size / 4,
                     {{span(data, page_size), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 0U);
}

TEST_P(SmallRanges, come_back_as_zeros_after_the_loss_of_a_device) {
  open_here(2);
  std::vector<std::uint32_t*> lost;
  for (int i = 0; i < 40; ++i) {
    lost.push_back(small(2 * page_size));
    expect_done(fill(0, lost.back(), page_size, 0x5a5a5a5a));
  }
  std::uint32_t* const kept = small();
  kept[0] = 3;
  ASSERT_TRUE(engine->plan_faults(0, "step=launch nth=1 action=kill"));
  EXPECT_FALSE([&] {
    const auto fence = fill(0, lost[0], page_size, 1);
    return fence && engine->wait(*fence, {});
  }());
  EXPECT_TRUE(eventually([&] { return engine->residency(span(lost[39], page_size))->lost != 0; }));
  EXPECT_TRUE(load_dies(lost[20]));
  EXPECT_EQ(kept[0], 3U);
  for (const std::uint32_t* const data : lost) free(data);
  for (int i = 0; i < 40; ++i) {
    std::uint32_t* const data = small(2 * page_size);
    for (std::size_t at = 0; at < 2 * page_size / 4; ++at) ASSERT_EQ(data[at], 0U) << i;
    data[0] = 1;
    expect_done(fill(1, data, 2 * page_size, 2));
    EXPECT_EQ(data[1], 2U);
  }
}

TEST_P(SmallRanges, come_back_as_zeros_after_a_failed_launch) {
  open_here(1);
  for (const char* const plan :
       {"step=map nth=1 action=fail", "step=copy nth=1 action=fail",
        "step=launch nth=1 action=fail", "step=allocate nth=1 action=fail"}) {
    std::uint32_t* const data = small(2 * page_size);
    std::memset(data, 0x5a, 2 * page_size);
    ASSERT_TRUE(engine->plan_faults(0, plan));
    if (const auto fence = fill(0, data, 2 * page_size, 1)) (void)engine->wait(*fence, {});
    ASSERT_TRUE(engine->plan_faults(0, ""));
    free(data);
    std::uint32_t* const next = small(2 * page_size);
    ASSERT_EQ(next, data) << "the test needs the same addresses again";
    for (std::size_t at = 0; at < 2 * page_size / 4; ++at) ASSERT_EQ(next[at], 0U) << plan;
    free(next);
  }
}

TEST_P(SmallRanges, are_not_seen_by_a_forked_child) {
  open_here(0);
  std::uint32_t* const data = small();
  data[0] = 5;
  const os::ChildEnd end = os::run_forked([&] { return load_dies(data) ? 0 : 1; });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
  EXPECT_EQ(data[0], 5U);
  free(data);
  EXPECT_EQ(small()[0], 0U);
}

// --- many ----------------------------------------------------------------------------------------

// More than the mappings that a process may have by default.
TEST_P(SmallRanges, live_by_the_ten_thousands_beyond_the_limit_of_mappings) {
  open_here(0);
  const std::size_t count =
      os::under_thread_sanitizer || os::under_address_sanitizer ? 5'000 : 70'000;
  std::vector<Address> ranges;
  for (std::size_t i = 0; i < count; ++i) {
    const auto base = engine->allocate(100, Kind::shared, -1, HostPages::automatic);
    ASSERT_TRUE(base) << i << ": " << base.error().detail();
    ranges.push_back(*base);
    if (i % 64 == 0) *reinterpret_cast<volatile std::uint32_t*>(base->value) = 1;
  }
  EXPECT_LT(os::inspect_mapping_limit().in_use, 10'000U);
  // Every second one first, so that no segment is empty soon.
  for (std::size_t i = 0; i < count; i += 2) ASSERT_TRUE(engine->free(ranges[i], FreeMode::wait));
  for (std::size_t i = 1; i < count; i += 2) ASSERT_TRUE(engine->free(ranges[i], FreeMode::wait));
  EXPECT_EQ(engine->status().ranges, 0U);
}

// The kernel's accesses are answered as the program's are, and end in EFAULT.
TEST_F(EngineTest, strays_to_freed_small_ranges_take_few_mappings) {
  SpaceOptions options = small_devices(0);
  open(options);
  if (engine->status().grade != Grade::full)
    GTEST_SKIP() << "run it as root, or with /dev/userfaultfd";
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const std::size_t before = os::inspect_mapping_limit().in_use;
  for (int i = 0; i < 300; ++i) {
    const auto base = engine->allocate(page_size, Kind::shared, -1, HostPages::automatic);
    ASSERT_TRUE(base) << base.error().detail();
    auto* const word = reinterpret_cast<volatile char*>(base->value);
    *word = 1;
    ASSERT_TRUE(engine->free(*base, FreeMode::wait));
    EXPECT_EQ(::write(ends[1], const_cast<char*>(word), 1), -1);
    EXPECT_EQ(errno, EFAULT);
  }
  EXPECT_LT(os::inspect_mapping_limit().in_use, before + 50);
  for (const int end : ends) ::close(end);
}

std::size_t field_of_status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return std::stoul(line.substr(name.size() + 1)) << 10;
  return 0;
}

TEST_P(SmallRanges, leave_little_behind_when_they_are_freed) {
  if (os::under_thread_sanitizer || os::under_address_sanitizer)
    GTEST_SKIP() << "the sanitizer keeps freed memory; run it in a tree without one";
  open_here(0);
  const auto use_many = [&] {
    std::vector<std::uint32_t*> ranges;
    for (int i = 0; i < 10'000; ++i) {
      ranges.push_back(small());
      ranges.back()[0] = 1;
    }
    for (const std::uint32_t* const data : ranges) free(data);
  };
  // Free memory of malloc's is not counted: it gives back what it likes, when it likes.
  const auto held = [] {
    const struct mallinfo2 heap = ::mallinfo2();
    return field_of_status("VmPTE") + field_of_status("RssShmem") + heap.uordblks + heap.hblkhd;
  };
  const std::size_t before = held();
  use_many();
  EXPECT_LE(held(), before + 4 * mib);
}

// Threads share segments, and each finds its own bytes or zeros.
TEST_P(SmallRanges, of_many_threads_hold_what_each_wrote) {
  open_here(2);
  constexpr int rounds = 300;
  std::atomic<int> wrong{0};
  const auto work = [&](unsigned seed) {
    std::minstd_rand random(seed);
    std::deque<std::pair<std::uint32_t*, std::size_t>> own;
    for (int round = 0; round < rounds; ++round) {
      const std::size_t size = (random() % 9 == 0 ? random() % (300 << 10) : random() % 9000) + 4;
      const auto base = engine->allocate(size, Kind::shared, -1, HostPages::automatic);
      if (!base) {
        ++wrong;
        return;
      }
      auto* const data = reinterpret_cast<std::uint32_t*>(base->value);
      for (std::size_t i = 0; i < size / 4; ++i) wrong += data[i] != 0 ? 1 : 0;
      const std::uint32_t mark = seed * 1000 + static_cast<std::uint32_t>(round);
      if (random() % 3 == 0) {
        if (const auto fence = fill(static_cast<int>(random() % 2), data, size / 4 * 4, mark))
          wrong += engine->wait(*fence, {}) ? 0 : 1;
        else
          ++wrong;
      } else {
        for (std::size_t i = 0; i < size / 4; ++i) data[i] = mark;
      }
      data[0] = mark;
      own.emplace_back(data, size);
      if (own.size() < 8) continue;
      const auto [oldest, bytes] = own.front();
      own.pop_front();
      for (std::size_t i = 1; i < bytes / 4; ++i) wrong += oldest[i] != oldest[0] ? 1 : 0;
      wrong += engine->free(Address::of(oldest), FreeMode::wait) ? 0 : 1;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(grades, SmallRanges,
                         testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::engine
