// ReadinessTracker: which kernels are in the way of what is taken, and on which devices a block is
// ready. No device works here: kernels begin and end as the tests say.
#include "engine/readiness_tracker.hpp"

#include "engine/parts_rig.hpp"

namespace sluice::engine {
namespace {

class ReadinessTrackerTest : public PartsTest {
 protected:
  Range& range = make_range();
  Block& block = range.blocks.front();
  const AddressSpan all = block.span();
  const AddressSpan first_half{block.begin, block_size / 2};
  const AddressSpan second_half{block.begin + block_size / 2, block_size / 2};
};

TEST_F(ReadinessTrackerTest, a_block_is_ready_where_the_directory_says_so) {
  const ScopedClaim claim(block.claim);
  EXPECT_FALSE(is_ready(range, all, 0, Access::read));
  put_on(0, range, block);
  EXPECT_TRUE(is_ready(range, all, 0, Access::write));
  EXPECT_FALSE(is_ready(range, all, 1, Access::read));
  arrange(range, block, [&](BlockState& state) {
    state.directory.downgrade(Location::device(0), block.every_page());
  });
  EXPECT_TRUE(is_ready(range, all, 0, Access::read));
  EXPECT_FALSE(is_ready(range, all, 0, Access::write));
}

TEST_F(ReadinessTrackerTest, a_taken_block_is_not_ready_until_it_is_looked_at_again) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::write}));
  EXPECT_FALSE(is_ready(range, all, 0, Access::read));
  readiness.refresh(range, block);
  EXPECT_TRUE(is_ready(range, all, 0, Access::write));
}

TEST_F(ReadinessTrackerTest, a_reader_leaves_devices_the_right_to_read) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::read}));
  EXPECT_TRUE(is_ready(range, all, 0, Access::read));
  EXPECT_FALSE(is_ready(range, all, 0, Access::write));
}

TEST_F(ReadinessTrackerTest, a_device_that_loses_its_mapping_is_ready_for_nothing) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  EXPECT_FALSE(readiness.take(range, block,
                              {.span = all, .access = Access::read, .unmapped = DeviceSet(0)}));
  EXPECT_FALSE(is_ready(range, all, 0, Access::read));
}

TEST_F(ReadinessTrackerTest, a_kernel_that_may_write_is_in_the_way_until_it_ends) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  const device::Fence kernel = run_kernel(0, range, first_half, Access::write);
  const auto obstacle = readiness.take(range, block, {.span = all, .access = Access::read});
  ASSERT_TRUE(obstacle);
  EXPECT_EQ(obstacle->fence, kernel);
  EXPECT_TRUE(is_ready(range, all, 0, Access::write)) << "nothing was taken";
  fake(0).complete(kernel);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::read}));
  EXPECT_FALSE(is_ready(range, all, 0, Access::write));
}

TEST_F(ReadinessTrackerTest, a_kernel_elsewhere_in_the_block_is_in_nobodys_way) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  run_kernel(0, range, first_half, Access::write);
  EXPECT_FALSE(readiness.take(range, block, {.span = second_half, .access = Access::write}));
}

TEST_F(ReadinessTrackerTest, a_kernel_goes_on_reading_its_own_copy_while_the_host_writes) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  run_kernel(0, range, all, Access::read);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::write}));
}

TEST_F(ReadinessTrackerTest,
       a_kernel_that_reads_host_memory_is_in_the_way_of_the_hosts_stores_only) {
  const ScopedClaim claim(block.claim);
  block.admit(0);
  arrange(range, block, [&](BlockState& state) {
    state.directory.publish(Location::host(), block.every_page());
    state.directory.map(0, directory::Mapping::host, Rights::read);
  });
  run_kernel(0, range, all, Access::read);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::read}));
  EXPECT_TRUE(readiness.take(range, block, {.span = all, .access = Access::write}));
}

TEST_F(ReadinessTrackerTest, every_kernel_of_a_device_that_is_unmapped_is_in_the_way) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  run_kernel(0, range, first_half, Access::read);
  const RevokeRequest of_other{.span = second_half, .unmapped = DeviceSet(1), .mapping_only = true};
  EXPECT_FALSE(readiness.take(range, block, of_other));
  // The mapping is of the whole block.
  const RevokeRequest of_same{.span = second_half, .unmapped = DeviceSet(0), .mapping_only = true};
  EXPECT_TRUE(readiness.take(range, block, of_same));
}

TEST_F(ReadinessTrackerTest, the_takers_own_kernels_are_ordered_by_its_queues) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  run_kernel(0, range, all, Access::write);
  EXPECT_FALSE(
      readiness.take(range, block, {.span = all, .access = Access::write, .by_device = 0}));
  EXPECT_TRUE(readiness.take(range, block, {.span = all, .access = Access::write, .by_device = 1}));
}

TEST_F(ReadinessTrackerTest,
       a_kernel_that_reads_older_bytes_is_in_the_way_of_those_that_overwrite_them) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  run_kernel(0, range, first_half, Access::read);
  RevokeRequest revoke{
      .span = all, .access = Access::write, .by_device = 0, .overwritten = second_half};
  EXPECT_FALSE(readiness.take(range, block, revoke));
  revoke.overwritten = first_half;
  EXPECT_TRUE(readiness.take(range, block, revoke));
}

// Its rights are taken in its page table, and its kernel stalls at the next access.
TEST_F(ReadinessTrackerTest,
       a_kernel_that_takes_page_faults_is_in_the_way_only_of_the_end_of_the_bytes) {
  const ScopedClaim claim(block.claim);
  run_kernel(recoverable, range, all, Access::write);
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::write}));
  EXPECT_TRUE(
      readiness.take(range, block, {.span = all, .access = Access::write, .for_good = true}));
}

TEST_F(ReadinessTrackerTest, a_launch_on_every_shared_range_uses_shared_ranges_alone) {
  const ScopedClaim claim(block.claim);
  const device::Fence kernel = fake(0).start_kernel();
  {
    const ReadinessTracker::Entry entry(readiness);
    readiness.reserve(1);
    readiness.add_launch({everywhere, kernel, true, false});
  }
  EXPECT_TRUE(readiness.take(range, block, {.span = all, .access = Access::read}));
  Range& host_range = make_range(1, Kind::host);
  Block& other = host_range.blocks.front();
  const ScopedClaim other_claim(other.claim);
  EXPECT_FALSE(readiness.take(host_range, other, {.span = other.span(), .access = Access::read}));
}

TEST_F(ReadinessTrackerTest, the_pending_launch_is_one_that_has_not_ended) {
  const device::Fence ended = fake(0).start_kernel(0);
  const device::Fence runs = fake(0).start_kernel(1);
  {
    const ReadinessTracker::Entry entry(readiness);
    readiness.reserve(2);
    readiness.add_launch({all, ended, true, false});
    readiness.add_launch({all, runs, true, false});
  }
  fake(0).complete(ended);
  ASSERT_TRUE(readiness.pending_launch());
  EXPECT_EQ(readiness.pending_launch()->fence, runs);
  fake(0).complete(runs);
  EXPECT_FALSE(readiness.pending_launch());
}

TEST_F(ReadinessTrackerTest, every_range_is_ready_once_all_blocks_of_all_of_them_are) {
  const auto every_range_is_ready = [&] {
    const ReadinessTracker::Entry entry(readiness);
    return readiness.every_range_is_ready(0);
  };
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  EXPECT_TRUE(every_range_is_ready());
  Range& second = make_range(2);
  EXPECT_FALSE(every_range_is_ready());
  {
    const ScopedClaim first_claim(second.blocks[0].claim);
    put_on(0, second, second.blocks[0]);
  }
  EXPECT_FALSE(every_range_is_ready()) << "one of its blocks is not";
  readiness.leave(second);
  EXPECT_TRUE(every_range_is_ready());
  EXPECT_FALSE(readiness.take(range, block, {.span = all, .access = Access::read}));
  EXPECT_FALSE(every_range_is_ready()) << "all must be ready to be written";
}

TEST_F(ReadinessTrackerTest, blocks_that_the_asker_has_claimed_count_as_ready) {
  const int asker = 0;
  const int other = 0;
  block.claimant.set(&asker);
  const auto unready_for = [&](const void* claimant) {
    const ReadinessTracker::Entry entry(readiness);
    return readiness.find_unready(range, all, 0, Access::write, claimant,
                                  [](Block&) { return true; });
  };
  EXPECT_FALSE(unready_for(&asker));
  EXPECT_TRUE(unready_for(&other));
}

TEST_F(ReadinessTrackerTest, a_part_is_ready_by_the_directory_unless_a_plan_is_under_way) {
  {
    const ScopedClaim claim(block.claim);
    put_on(0, range, block);
    arrange(range, block, [&](BlockState& state) {
      state.directory.downgrade(Location::device(0), block.pages_in(second_half));
    });
    EXPECT_FALSE(is_ready(range, first_half, 0, Access::write)) << "the block is claimed";
  }
  EXPECT_TRUE(is_ready(range, first_half, 0, Access::write));
  EXPECT_FALSE(is_ready(range, second_half, 0, Access::write));
}

}  // namespace
}  // namespace sluice::engine
