// ResidencyManager: which blocks get an allocation of a device's memory, which leave for it, and
// what is told when none can. The budget of each device is two blocks.
#include "engine/residency_manager.hpp"

#include "engine/parts_rig.hpp"

namespace sluice::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ResidencyManagerTest : public PartsTest {
 protected:
  // The claim of the block is the caller's.
  Result<Provision> provide(Block& at, std::vector<AddressSpan> named = {}) {
    const std::array<AllocationRequest, 1> blocks{{{&range, &at}}};
    return residency.provide(0, blocks, {.claimant = this, .named = std::move(named)});
  }
  // Device 0 is full: blocks 0 and 1 are there, and 0 was used longer ago.
  void fill_device() {
    for (std::size_t i = 0; i < 2; ++i) {
      const ScopedClaim claim(range.blocks[i].claim);
      put_on(0, range, range.blocks[i]);
      range.blocks[i].stamps.note(++launches);
    }
  }
  [[nodiscard]] bool has_allocation(Block& at, int device = 0) const {
    const MutexLock lock(at.mutex);
    const DevicePart* part = at.locked_state().part(device);
    return part != nullptr && part->allocation.size != 0;
  }

  Range& range = make_range(4);
  Block& oldest = range.blocks[0];
  Block& newer = range.blocks[1];
  Block& wanted = range.blocks[2];
};

TEST_F(ResidencyManagerTest, a_block_gets_one_allocation_and_keeps_it) {
  const ScopedClaim claim(wanted.claim);
  for (int i = 0; i < 2; ++i) {
    const auto provision = provide(wanted);
    ASSERT_TRUE(provision);
    EXPECT_EQ(provision->count, 1U);
    EXPECT_EQ(residency.in_use(0), block_size);
    EXPECT_EQ(fake(0).live_allocations(), 1U);
  }
  residency.release(wanted, 0);
  EXPECT_EQ(residency.in_use(0), 0U);
  EXPECT_EQ(fake(0).live_allocations(), 0U);
}

TEST_F(ResidencyManagerTest,
       the_block_that_was_used_longest_ago_leaves_when_its_bytes_are_on_the_host) {
  fill_device();
  const ScopedClaim claim(wanted.claim);
  const auto provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 1U);
  EXPECT_THAT(journal.take(),
              ElementsAre("0 unmap +0 x512", "0 go", "0 done", "0 copy 0:1+0 host+0 x512", "0 go",
                          "0 done", "0 release 1"));
  EXPECT_FALSE(has_allocation(oldest));
  EXPECT_TRUE(has_allocation(newer));
  EXPECT_EQ(residency.in_use(0), 2 * block_size);
  EXPECT_FALSE(is_ready(range, oldest.span(), 0, Access::read)) << "the tracker must hear of it";
}

TEST_F(ResidencyManagerTest, blocks_that_the_launch_names_leave_last) {
  fill_device();
  const ScopedClaim claim(wanted.claim);
  const auto provision = provide(wanted, {oldest.span()});
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 1U);
  EXPECT_TRUE(has_allocation(oldest));
  EXPECT_FALSE(has_allocation(newer));
}

TEST_F(ResidencyManagerTest, a_leased_block_stays) {
  fill_device();
  {
    const ScopedClaim claim(oldest.claim);
    const MutexLock lock(oldest.mutex);
    oldest.change().add_lease(Access::read, Location::device(0));
  }
  const ScopedClaim claim(wanted.claim);
  const auto provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 1U);
  EXPECT_TRUE(has_allocation(oldest));
  EXPECT_FALSE(has_allocation(newer));
}

TEST_F(ResidencyManagerTest, blocks_that_kernels_use_stay_and_one_of_these_is_the_obstacle) {
  fill_device();
  const device::Fence kernel = run_kernel(0, range, range.pages, Access::read);
  const ScopedClaim claim(wanted.claim);
  const auto provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 0U);
  ASSERT_TRUE(provision->obstacle);
  EXPECT_EQ(provision->obstacle->fence, kernel);
  EXPECT_THAT(journal.take(), IsEmpty());
  EXPECT_THAT(std::string(residency.shortage(0, *provision).detail()),
              HasSubstr("budget of 4194304 bytes is full"));
}

TEST_F(ResidencyManagerTest, blocks_that_another_thread_has_claimed_are_contended) {
  fill_device();
  const ScopedClaim claim(wanted.claim);
  const ScopedClaim first(oldest.claim);
  const ScopedClaim second(newer.claim);
  auto provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 0U);
  EXPECT_TRUE(provision->contended);
  // The asker's own claims end only when it gives up.
  oldest.claimant.set(this);
  newer.claimant.set(this);
  provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_FALSE(provision->contended);
}

TEST_F(ResidencyManagerTest, a_device_that_refuses_an_allocation_is_charged_nothing_and_says_why) {
  const ScopedClaim claim(wanted.claim);
  fake(0).refuse_next(ErrorCode::out_of_device_memory);
  const auto provision = provide(wanted);
  ASSERT_TRUE(provision);
  EXPECT_EQ(provision->count, 0U);
  EXPECT_EQ(residency.in_use(0), 0U);
  EXPECT_THAT(std::string(residency.shortage(0, *provision).detail()),
              HasSubstr("device 0 refuses as the test says"));
}

TEST_F(ResidencyManagerTest, a_lost_device_provides_nothing) {
  const ScopedClaim claim(wanted.claim);
  fake(0).lose();
  const auto provision = provide(wanted);
  ASSERT_FALSE(provision);
  EXPECT_EQ(provision.error().code(), ErrorCode::device_lost);
}

TEST_F(ResidencyManagerTest, a_block_whose_bytes_cannot_be_copied_out_keeps_its_allocation) {
  fill_device();
  const ScopedClaim claim(wanted.claim);
  journal.watch = [&](const std::string& line) {
    if (line == "0 done") fake(0).fail_next(ErrorCode::system);
  };
  EXPECT_FALSE(provide(wanted));
  journal.watch = nullptr;
  EXPECT_TRUE(has_allocation(oldest));
  EXPECT_EQ(residency.in_use(0), 2 * block_size);
  const ScopedClaim left(oldest.claim);
  EXPECT_EQ(oldest.state().directory.only_on(Location::device(0)), oldest.every_page());
}

TEST_F(ResidencyManagerTest, a_block_that_its_device_does_not_let_go_is_ready_there_again) {
  fill_device();
  const ScopedClaim claim(wanted.claim);
  fake(0).refuse_next(ErrorCode::system);
  EXPECT_FALSE(provide(wanted));
  EXPECT_TRUE(is_ready(range, oldest.span(), 0, Access::write));
}

TEST_F(ResidencyManagerTest, what_went_with_a_lost_device_is_not_released_there) {
  fill_device();
  const ScopedClaim claim(oldest.claim);
  {
    const MutexLock lock(oldest.mutex);
    residency.forget(*oldest.change().part(0));
  }
  EXPECT_EQ(residency.in_use(0), block_size);
  EXPECT_FALSE(has_allocation(oldest));
  EXPECT_THAT(journal.take(), IsEmpty());
}

}  // namespace
}  // namespace sluice::engine
