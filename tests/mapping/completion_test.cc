// The end of mappings: unmap returns when no device can still reach the pages, never fails, and a
// mapped range is not freed.
#include "mapping_rig.hpp"

namespace sluice::mapping_test {
namespace {

using std::chrono::milliseconds;

class Completion : public MappingTest {
 protected:
  void SetUp() override { open(small_devices(3)); }
};

TEST_F(Completion, after_unmap_no_device_reaches_the_pages) {
  const auto data = words(4 * mib);
  data[0] = 5;
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2})));
  plan(1, "step=unmap action=slow=200");
  MappingReport report;
  ASSERT_TRUE(ok(space->unmap(all_of(data), {0, 1}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(states(report), ElementsAre(unmapped, unmapped));
  EXPECT_EQ(report.prefix, 2u);
  expect_usable_on(&data[1], {2});
  EXPECT_EQ(data[0], 5u);
  ASSERT_TRUE(ok(space->unmap(all_of(data), {0, 1, 2}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(dispatched(report), ElementsAre(0, 0, 1));
  expect_usable_on(&data[1], {});
  EXPECT_EQ(data[0], 5u);
}

TEST_F(Completion, unmapping_waits_for_kernels_that_name_the_pages) {
  const auto data = words(mib);
  const auto until = words(4096);
  ASSERT_TRUE(ok(space->map(all_of(until), {1})));
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1})));
  const auto running = launch(1, "spin", sluice_soft_spin{until.data(), 1}, &data);
  ASSERT_TRUE(running);
  const auto operation = space->start_unmap(all_of(data), {0, 1});
  ASSERT_TRUE(operation);
  EXPECT_THAT(operation->wait_until(std::chrono::steady_clock::now() + milliseconds(20)),
              fails_with(ErrorCode::timed_out));
  EXPECT_FALSE(running->done());
  until[0] = 1;
  EXPECT_TRUE(ok(operation->wait()));
  EXPECT_TRUE(running->done());
  EXPECT_TRUE(ok(running->wait()));
  expect_usable_on(&data[0], {});
}

TEST_F(Completion, unmapping_never_fails_not_even_on_a_lost_device) {
  const auto data = words(mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1, 2})));
  plan(0, "step=map action=fail");
  plan(1, "step=unmap nth=1 action=kill");
  MappingReport report;
  EXPECT_TRUE(ok(space->unmap(all_of(data), {0, 1, 2}, {}, OnSignal::keep_waiting, &report)));
  EXPECT_THAT(states(report), ElementsAre(unmapped, unmapped, unmapped));
  expect_usable_on(&data[0], {});
}

TEST_F(Completion, unmapped_memory_migrates_again) {
  const auto data = words(2 * mib);
  ASSERT_TRUE(ok(space->map(all_of(data), {0, 1})));
  ASSERT_TRUE(ok(space->unmap(all_of(data), {0, 1})));
  move_to(1, data, 3);
  EXPECT_EQ(space->residency(data.data())->holders, LocationSet(Location::device(1)));
  EXPECT_EQ(data[10], 3u);
}

TEST_F(Completion, freeing_a_mapped_range_is_refused) {
  const auto range = space->allocate(4 * mib);
  ASSERT_TRUE(range);
  std::byte* data = range->data();
  ASSERT_TRUE(ok(space->map({{data + 2 * mib, 1}}, {1})));
  const auto refused = space->free(data);
  EXPECT_THAT(refused, fails_with(ErrorCode::busy));
  EXPECT_THAT(std::string(refused.error().detail()), HasSubstr("mapped on device 1"));
  EXPECT_THAT(space->free_if_idle(data), fails_with(ErrorCode::busy));
  EXPECT_TRUE(store(1, reinterpret_cast<Word*>(data + 2 * mib), 1))
      << "nothing is lost by a refused call";
}

TEST_F(Completion, freeing_during_an_operation_is_refused) {
  auto range = space->allocate(mib);
  ASSERT_TRUE(range);
  plan(0, "step=map action=slow=2000");
  const auto operation = space->start_map({{range->data(), mib}}, {0});
  ASSERT_TRUE(operation);
  EXPECT_THAT(range->free(), fails_with(ErrorCode::busy));
  EXPECT_TRUE(ok(range->unmap_and_free())) << "this waits for it";
  EXPECT_TRUE(operation->done());
  EXPECT_THAT(operation->resume(), fails_with(ErrorCode::unknown_address));
}

TEST_F(Completion, on_request_a_free_unmaps_first) {
  auto range = space->allocate(4 * mib);
  ASSERT_TRUE(range);
  auto* data = reinterpret_cast<Word*>(range->data());
  ASSERT_TRUE(ok(space->map({{data, 4 * mib}}, {0, 1, 2})));
  const auto lease = space->lease(data, 4096, Location::host(), Access::read);
  ASSERT_TRUE(lease);
  EXPECT_THAT(range->unmap_and_free(), fails_with(ErrorCode::busy)) << "a lease is another matter";
  const_cast<Lease&>(*lease).end();
  EXPECT_TRUE(ok(range->unmap_and_free()));
  expect_usable_on(data, {});
}

TEST_F(Completion, leases_and_mappings_count_apart) {
  const auto data = words(mib);
  auto lease = space->lease(data.data(), mib, Location::device(0), Access::read);
  ASSERT_TRUE(lease);
  EXPECT_THAT(space->map(all_of(data), {1}), fails_with(ErrorCode::busy));
  lease->end();
  ASSERT_TRUE(ok(space->map(all_of(data), {1})));
  auto here = space->lease(data.data(), mib, Location::host(), Access::write);
  ASSERT_TRUE(here);
  ASSERT_TRUE(ok(space->unmap(all_of(data), {1})));
  EXPECT_THAT(space->free(data.data()), fails_with(ErrorCode::busy));
  here->end();
}

TEST_F(Completion, a_space_that_closes_takes_operations_and_mappings_along) {
  auto range = space->allocate(4 * mib);
  ASSERT_TRUE(range);
  ASSERT_TRUE(ok(space->map({{range->data(), 2 * mib}}, {0, 1})));
  plan(2, "step=map action=slow=100");
  ASSERT_TRUE(space->start_map({{range->data(), 4 * mib}}, {1, 2}));
  [[maybe_unused]] const auto* left = range->release();
  open(small_devices(1));
}

}  // namespace
}  // namespace sluice::mapping_test
