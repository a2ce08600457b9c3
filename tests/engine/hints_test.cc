// Prefetch, advice, discard, leases: hints change what is fast, leases what may move, and none of
// them what is true.
#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

class Hints : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(2)); }
  void prefetched(const void* data, std::size_t size, Location to) {
    const auto fence = engine->prefetch(span(data, size), to);
    ASSERT_TRUE(fence) << fence.error().detail();
    expect_done(fence);
  }
};

TEST_F(Hints, prefetch_moves_and_read_mostly_copies) {
  std::uint32_t* data = words(3 * mib);
  data[0] = 1;
  data[700000] = 2;
  prefetched(data, 3 * mib, Location::device(1));
  EXPECT_EQ(holders(data), LocationSet(Location::device(1)));
  prefetched(data, 3 * mib, Location::host());
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  ASSERT_TRUE(engine->advise(span(data, 3 * mib), AdviceKind::read_mostly, Location::host()));
  prefetched(data, 3 * mib, Location::device(0));
  prefetched(data, 3 * mib, Location::device(1));
  EXPECT_EQ(holders(data).size(), 3);
  EXPECT_EQ(data[700000], 2u);
}

// Its job may be run when the range is gone and another one, of another kind, has the same
// addresses.
TEST_F(Hints, a_prefetch_of_a_freed_range_does_nothing_to_the_next_one) {
  std::uint32_t* busy = words(2 * mib);
  busy[0] = 1;
  std::uint32_t* old = words(2 * mib);
  old[0] = 2;
  ASSERT_TRUE(engine->plan_faults(1, "step=copy nth=1 action=slow=200"));
  ASSERT_TRUE(engine->prefetch(span(busy, 2 * mib), Location::device(1)));
  const auto late = engine->prefetch(span(old, 2 * mib), Location::device(1));
  ASSERT_TRUE(engine->free(Address::of(old), FreeMode::wait));
  std::uint32_t* next = words(2 * mib, Kind::host);
  ASSERT_EQ(next, old);
  next[0] = 3;
  expect_done(late);
  EXPECT_EQ(holders(next), LocationSet(Location::host()));
  expect_done(fill(1, next, 4096, 4));
  EXPECT_EQ(next[0], 4u);
}

TEST_F(Hints, a_prefetch_without_room_is_no_error) {
  SpaceOptions options = small_devices(1);
  options.device_budget = 2 * mib;
  open(options);
  std::uint32_t* data = words(16 * mib);
  data[0] = 5;
  prefetched(data, 16 * mib, Location::device(0));
  EXPECT_EQ(data[0], 5u);
}

TEST_F(Hints, data_preferred_on_the_host_is_host_mapped) {
  std::uint32_t* data = words(2 * mib);
  data[0] = 3;
  ASSERT_TRUE(engine->advise(span(data, 2 * mib), AdviceKind::prefer, Location::host()));
  expect_done(fill(0, data, 2 * mib, 8));
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  EXPECT_TRUE(engine->residency(Address::of(data))->host_mapped_on.contains(Location::device(0)));
  EXPECT_EQ(data[0], 8u);
  // The other device reaches it too; both write the same bytes.
  expect_done(fill(1, data, 4096, 9));
  EXPECT_EQ(data[0], 9u);
  EXPECT_EQ(data[2000], 8u);
  ASSERT_TRUE(engine->advise(span(data, 2 * mib), AdviceKind::no_preference, Location::host()));
  expect_done(fill(0, data, 2 * mib, 10));
  EXPECT_EQ(holders(data), LocationSet(Location::device(0)));
  EXPECT_EQ(data[5], 10u);
}

TEST_F(Hints, advice_belongs_to_parts) {
  std::uint32_t* data = words(6 * mib);
  ASSERT_TRUE(
      engine->advise(span(data + mib / 2, 2 * mib), AdviceKind::accessed_by, Location::device(1)));
  EXPECT_FALSE(engine->attributes(Address::of(data))->accessed_by.contains(Location::device(1)));
  EXPECT_TRUE(
      engine->attributes(Address::of(data + mib / 2))->accessed_by.contains(Location::device(1)));
  EXPECT_FALSE(
      engine->attributes(Address::of(data + mib))->accessed_by.contains(Location::device(1)));
  EXPECT_THAT(engine->advise(span(data, 4096), AdviceKind::accessed_by, Location::host()),
              fails_with(ErrorCode::invalid_argument));
  EXPECT_THAT(engine->advise(span(data, 4096), AdviceKind::prefer, Location::device(7)),
              fails_with(ErrorCode::unknown_device));
}

TEST_F(Hints, a_refused_discard_has_changed_nothing) {
  std::uint32_t* data = words(6 * mib);
  for (std::size_t i = 0; i < 6 * mib / 4; i += page_size / 4) data[i] = 7;
  const auto lease = engine->lease(span(data + mib, 4096), Location::host(), Access::read);
  ASSERT_TRUE(lease);
  EXPECT_THAT(engine->discard(span(data, 6 * mib)), fails_with(ErrorCode::busy));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < 6 * mib / 4; i += page_size / 4) changed += data[i] == 7 ? 0 : 1;
  EXPECT_EQ(changed, 0u);
  engine->end_lease(*lease);
}

TEST_F(Hints, a_refused_eviction_has_changed_nothing) {
  std::uint32_t* data = words(6 * mib);
  expect_done(fill(0, data, 6 * mib, 7));
  const auto lease = engine->lease(span(data + mib, 4096), Location::device(0), Access::read);
  ASSERT_TRUE(lease);
  EXPECT_THAT(engine->evict(span(data, 6 * mib), 0), fails_with(ErrorCode::busy));
  EXPECT_EQ(holders(data), LocationSet(Location::device(0)));
  engine->end_lease(*lease);
}

TEST_F(Hints, discarded_bytes_read_as_zeros_everywhere) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 6));
  EXPECT_EQ(data[0], 6u);
  ASSERT_TRUE(engine->discard(span(data, mib)));
  EXPECT_EQ(data[0], 0u);
  EXPECT_EQ(data[mib / 4], 6u);
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  expect_done(launch(1, "reduce", sluice_soft_reduce{data, sum}, mib / 2,
                     {{span(data, 2 * mib), Access::read}, {span(sum, 8), Access::write}}));
  EXPECT_EQ(*sum, 6 * (mib / 4));
}

TEST_F(Hints, a_lease_on_the_host_makes_kernels_come_to_the_bytes) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 1));
  const auto lease = engine->lease(span(data, 2 * mib), Location::host(), Access::write);
  ASSERT_TRUE(lease) << lease.error().detail();
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  expect_done(fill(1, data, 2 * mib, 2));
  EXPECT_EQ(holders(data), LocationSet(Location::host()));
  prefetched(data, 2 * mib, Location::device(0));
  EXPECT_EQ(holders(data), LocationSet(Location::host())) << "a hint does not break a lease";
  EXPECT_EQ(data[100], 2u);
  EXPECT_THAT(engine->free(Address::of(data), FreeMode::wait), fails_with(ErrorCode::busy));
  EXPECT_THAT(engine->discard(span(data, 2 * mib)), fails_with(ErrorCode::busy));
  EXPECT_THAT(engine->lease(span(data, 4096), Location::device(1), Access::read),
              fails_with(ErrorCode::busy));
  engine->end_lease(*lease);
  expect_done(fill(1, data, 2 * mib, 3));
  EXPECT_EQ(holders(data), LocationSet(Location::device(1)))
      << "after the lease the data moves again";
}

TEST_F(Hints, advice_does_not_break_a_lease) {
  std::uint32_t* data = words(2 * mib);
  expect_done(fill(0, data, 2 * mib, 1));
  const auto lease = engine->lease(span(data, 2 * mib), Location::device(0), Access::read);
  ASSERT_TRUE(lease);
  ASSERT_TRUE(engine->advise(span(data, 2 * mib), AdviceKind::prefer, Location::host()));
  auto* sum = reinterpret_cast<std::uint64_t*>(words(4096));
  for (int device = 0; device < 2; ++device) {
    *sum = 0;
    expect_done(launch(device, "reduce", sluice_soft_reduce{data, sum}, mib / 2,
                       {{span(data, 2 * mib), Access::read}, {span(sum, 8), Access::write}}));
    EXPECT_EQ(*sum, mib / 2);
    EXPECT_TRUE(holders(data).contains(Location::device(0)));
  }
  expect_done(fill(0, data, 4096, 2));
  EXPECT_TRUE(holders(data).contains(Location::device(0)));
  engine->end_lease(*lease);
}

TEST_F(Hints, a_host_access_waits_for_the_end_of_a_lease_on_a_device) {
  std::uint32_t* data = words(4096);
  expect_done(fill(0, data, 4096, 1));
  const auto lease = engine->lease(span(data, 4096), Location::device(0), Access::write);
  ASSERT_TRUE(lease);
  EXPECT_THAT(fill(1, data, 4096, 2), fails_with(ErrorCode::busy));
  expect_done(fill(0, data, 4096, 3));
  std::thread writer([&] { data[1] = 4; });
  EXPECT_EQ(holders(data), LocationSet(Location::device(0)));
  engine->end_lease(*lease);
  writer.join();
  EXPECT_EQ(data[0], 3u);
  EXPECT_EQ(data[1], 4u);
}

TEST_F(Hints, huge_pages_of_the_pool_move_as_blocks) {
  const auto base = engine->allocate(4 * mib, Kind::shared, -1, HostPages::huge);
  if (!base)
    GTEST_SKIP() << base.error().detail()
                 << " (sysctl vm.nr_hugepages=16 gives the machine a pool)";
  auto* data = reinterpret_cast<std::uint32_t*>(base->value);
  data[0] = 1;
  data[mib / 2] = 2;
  expect_done(fill(0, data, 4096, 5));
  EXPECT_EQ(data[0], 5u);
  EXPECT_EQ(data[1024], 0u);
  EXPECT_EQ(data[mib / 2], 2u);
}

TEST_F(Hints, a_space_on_huge_pages_gives_a_small_range_a_whole_one) {
  SpaceOptions options = small_devices(2);
  options.host_pages = HostPages::huge;
  open(options);
  const auto base = engine->allocate(5000, Kind::shared, -1, HostPages::automatic);
  if (!base) {
    EXPECT_NE(base.error().code(), ErrorCode::invalid_argument) << base.error().detail();
    GTEST_SKIP() << base.error().detail()
                 << " (sysctl vm.nr_hugepages=16 gives the machine a pool)";
  }
  auto* data = reinterpret_cast<std::uint32_t*>(base->value);
  data[1249] = 1;
  expect_done(fill(0, data, 5000, 5));
  EXPECT_EQ(data[1249], 5u);
}

}  // namespace
}  // namespace sluice::engine
