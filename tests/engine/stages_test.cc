// Stages: in which order the steps of plans become effects, and what the directory says at each
// moment and after a failure. Devices and the host's rights are journals.
#include "engine/stages.hpp"

#include "engine/parts_rig.hpp"

namespace sluice::engine {
namespace {

using directory::Mapping;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

const PageMask two_pages{PageSpan{0, 2}};

class StagesTest : public PartsTest {
 protected:
  // The host has the pages, and may write them.
  static void put_on_host(Block& at, const PageMask& pages) SLUICE_REQUIRES(at.claim) {
    const MutexLock lock(at.mutex);
    directory::BlockDirectory& directory = at.change().directory;
    directory.publish(Location::host(), pages);
    directory.grant(Location::host(), pages, Rights::write);
  }
  void give_allocation(int device, Range& in, Block& at) SLUICE_REQUIRES(at.claim) {
    const std::array<AllocationRequest, 1> wanted{{{&in, &at}}};
    ASSERT_TRUE(residency.provide(device, wanted));
    journal.forget();
  }
  static plan::Request to_device(int device, const PageMask& pages, Access access) {
    return {Location::device(device), pages, access};
  }

  Range& range = make_range();
  Block& block = range.blocks.front();
};

TEST_F(StagesTest, rights_are_taken_then_bytes_move_then_they_are_mapped) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(0, range, block);
  const Task task = task_for(range, block, to_device(0, two_pages, Access::write));
  ASSERT_TRUE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(), ElementsAre("host revoked +0 x2", "0 copy host+0 0:1+0 x2", "0 go",
                                          "0 done", "0 map +0 x512 write 0:1+0", "0 go", "0 done"));
  EXPECT_EQ(block.state().directory.only_on(Location::device(0)), two_pages);
}

TEST_F(StagesTest, the_directory_is_right_at_each_moment) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(0, range, block);
  const Task task = task_for(range, block, to_device(0, two_pages, Access::write));
  const directory::BlockDirectory& directory = block.state().directory;
  const directory::Holding& on_host = directory.holding(Location::host());
  const directory::Holding& on_device = directory.holding(Location::device(0));
  bool copied = false;
  journal.watch = [&](const std::string& line) {
    if (line == "host revoked +0 x2") {
      EXPECT_EQ(on_host.writable, two_pages) << "recorded rights may be more, never less";
    }
    if (line.starts_with("0 copy")) {
      EXPECT_TRUE(on_host.readable.empty()) << "bytes move while the host has rights";
    }
    if (line == "0 done" && !copied) {
      copied = true;
      EXPECT_TRUE(on_device.resident.empty()) << "published before the bytes are there";
    }
    if (line.starts_with("0 map")) {
      EXPECT_EQ(on_device.resident, two_pages) << "visible before it is published";
      EXPECT_TRUE(on_host.resident.empty()) << "the stale copy counts as valid";
    }
  };
  ASSERT_TRUE(stages.run({&task, 1}));
  journal.watch = nullptr;
  EXPECT_TRUE(copied);
}

TEST_F(StagesTest, the_host_gets_pages_back_after_they_are_published) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  const Task task = task_for(range, block, {Location::host(), two_pages, Access::read});
  journal.watch = [&](const std::string& line) {
    if (!line.starts_with("host reads")) return;
    block.claim.assert_held();
    EXPECT_EQ(block.state().directory.holding(Location::host()).resident, two_pages);
    EXPECT_EQ(block.state().directory.holding(Location::host()).readable, two_pages);
  };
  ASSERT_TRUE(stages.run({&task, 1}));
  journal.watch = nullptr;
  EXPECT_THAT(journal.take(),
              ElementsAre("0 copy 0:1+0 host+0 x2", "0 go", "0 done", "host reads +0 x2"));
}

TEST_F(StagesTest, grants_alone_touch_no_device) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  Task task{&range, &block, {}};
  task.plan.add({.kind = plan::StepKind::grant, .rights = Rights::write, .pages = two_pages});
  ASSERT_TRUE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(), ElementsAre("host writes +0 x2"));
}

TEST_F(StagesTest, a_copy_that_fails_is_not_published_and_the_source_keeps_its_bytes) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(0, range, block);
  const Task task = task_for(range, block, to_device(0, two_pages, Access::write));
  fake(0).fail_next(ErrorCode::system);
  EXPECT_FALSE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(), Contains("0 done"));
  const directory::BlockDirectory& directory = block.state().directory;
  EXPECT_EQ(directory.only_on(Location::host()), two_pages);
  EXPECT_TRUE(directory.holding(Location::host()).readable.empty()) << "these were taken";
  EXPECT_EQ(directory.mapping(0), Mapping::none);
}

TEST_F(StagesTest, a_device_that_refuses_a_mapping_is_left_without_it) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(0, range, block);
  const Task task = task_for(range, block, to_device(0, two_pages, Access::write));
  journal.watch = [&](const std::string& line) {
    if (line == "0 done") fake(0).fail_next(ErrorCode::system);
  };
  EXPECT_FALSE(stages.run({&task, 1}));
  journal.watch = nullptr;
  const auto lines = journal.take();
  EXPECT_THAT(lines, Contains("0 unmap +0 x512")) << "part of it may have been mapped";
  EXPECT_EQ(block.state().directory.mapping(0), Mapping::none);
  EXPECT_EQ(block.state().directory.only_on(Location::device(0)), two_pages) << "the bytes moved";
}

TEST_F(StagesTest, rights_that_cannot_be_taken_stop_the_plan_before_any_byte_moves) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(0, range, block);
  const Task task = task_for(range, block, to_device(0, two_pages, Access::write));
  source.refuse_next();
  EXPECT_FALSE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(), IsEmpty());
  EXPECT_EQ(block.state().directory.holding(Location::host()).writable, two_pages);
}

// The fourth device maps in the call.
class MapsInTheCall : public StagesTest {
 protected:
  static constexpr int device = recoverable + 1;
  MapsInTheCall() {
    device::Traits traits = device::fake_traits();
    traits.maps_in_the_call = true;
    devices.add(std::make_unique<FakeDevice>(device, journal, traits));
  }
};

TEST_F(MapsInTheCall, ahead_of_the_copies_that_may_go_there) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(device, range, block);
  const Task task = task_for(range, block, to_device(device, two_pages, Access::write));
  ASSERT_TRUE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(),
              ElementsAre("host revoked +0 x2", "3 map +0 x512 write 3:301+0", "3 go", "3 done",
                          "3 copy host+0 3:301+0 x2", "3 go", "3 done"));
  EXPECT_EQ(block.state().directory.only_on(Location::device(device)), two_pages);
  EXPECT_EQ(block.state().directory.mapping(device), Mapping::own);
}

TEST_F(MapsInTheCall, and_has_no_byte_if_the_copy_fails) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(device, range, block);
  const Task task = task_for(range, block, to_device(device, two_pages, Access::write));
  journal.watch = [&](const std::string& line) {
    if (line == "3 done") fake(device).fail_next(ErrorCode::system);  // the mapping is
  };
  EXPECT_FALSE(stages.run({&task, 1}));
  journal.watch = nullptr;
  EXPECT_EQ(block.state().directory.only_on(Location::host()), two_pages);
  EXPECT_TRUE(block.state().directory.holding(Location::device(device)).readable.empty());
}

TEST_F(MapsInTheCall, and_a_refused_mapping_leaves_the_bytes_at_the_host) {
  const ScopedClaim claim(block.claim);
  put_on_host(block, two_pages);
  give_allocation(device, range, block);
  const Task task = task_for(range, block, to_device(device, two_pages, Access::write));
  fake(device).refuse_next(ErrorCode::system);
  EXPECT_FALSE(stages.run({&task, 1}));
  EXPECT_EQ(block.state().directory.only_on(Location::host()), two_pages);
  EXPECT_EQ(block.state().directory.mapping(device), Mapping::none);
}

TEST_F(StagesTest, a_lost_device_gives_up_its_mapping) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  Task task{&range, &block, {}};
  task.plan.add({.kind = plan::StepKind::unmap, .others = Location::device(0)});
  fake(0).lose();
  EXPECT_TRUE(stages.run({&task, 1}));
  EXPECT_EQ(block.state().directory.mapping(0), Mapping::none);
}

TEST_F(StagesTest, the_rights_to_neighbouring_blocks_are_taken_at_once) {
  Range& wide = make_range(2);
  const Claim first(wide.blocks[0].claim);
  const Claim second(wide.blocks[1].claim);
  std::vector<Task> tasks;
  for (Block& each : wide.blocks) {
    each.claim.assert_held();
    put_on_host(each, each.every_page());
    give_allocation(0, wide, each);
    tasks.push_back(task_for(wide, each, to_device(0, each.every_page(), Access::write)));
  }
  ASSERT_TRUE(stages.run(tasks));
  EXPECT_EQ(journal.take().front(), "host revoked +512 x1024");
}

// The link has work while the next rights are taken, and all copies share one wait.
TEST_F(StagesTest, copies_of_the_first_blocks_are_in_flight_while_the_next_rights_are_taken) {
  Range& wide = make_range(3);
  std::vector<Claim> claims;
  std::vector<Task> tasks;
  for (Block& each : wide.blocks) {
    claims.emplace_back(each.claim);
    each.claim.assert_held();
    put_on_host(each, two_pages);
    each.admit(0);
    const MutexLock lock(each.mutex);
    each.change().part(0)->allocation = *fake(0).allocate(block_size);
  }
  for (Block& each : wide.blocks) {
    each.claim.assert_held();
    tasks.push_back(task_for(wide, each, to_device(0, two_pages, Access::write)));
  }
  Stages::Flight flight = stages.prepare();
  ASSERT_TRUE(stages.start(tasks, flight));
  EXPECT_THAT(journal.take(),
              ElementsAre("host revoked +512 x2", "host revoked +1024 x2",
                          "0 copy host+512 0:1+0 x2", "0 copy host+1024 0:2+0 x2", "0 go",
                          "host revoked +1536 x2", "0 copy host+1536 0:3+0 x2", "0 go"));
  ASSERT_TRUE(stages.finish(flight));
  const auto lines = journal.take();
  EXPECT_EQ(lines[0], "0 done");
  EXPECT_EQ(lines[1], "0 done");
  EXPECT_THAT(lines[2], testing::StartsWith("0 map +512 x512"));
}

// Its page table knows granules of four pages: a granule that loses a page loses all.
TEST_F(StagesTest, a_device_that_takes_page_faults_loses_whole_granules) {
  const ScopedClaim claim(block.claim);
  put_on(recoverable, range, block);
  const PageMask one_page{PageSpan{5, 1}};
  const Task task = task_for(range, block, {Location::host(), one_page, Access::write});
  ASSERT_TRUE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(),
              ElementsAre("2 unmap +4 x4", "2 go", "2 done", "2 copy 2:201+5 host+5 x1", "2 go",
                          "2 done", "host writes +5 x1"));
}

TEST_F(StagesTest, the_borrower_gets_the_allocation_and_the_lender_its_own_in_return) {
  const ScopedClaim claim(block.claim);
  put_on(0, range, block);
  give_allocation(1, range, block);
  const std::uint64_t lent = block.state().part(0)->allocation.handle;
  const std::uint64_t own = block.state().part(1)->allocation.handle;
  const Task task = task_for(
      range, block, {Location::device(1), block.every_page(), Access::write, plan::Means::borrow});
  ASSERT_TRUE(stages.run({&task, 1}));
  EXPECT_THAT(journal.take(), ElementsAre("1 map +0 x512 write 0:" + std::to_string(lent) + "+0",
                                          "1 go", "1 done"));
  const DevicePart& borrower = *block.state().part(1);
  EXPECT_EQ(borrower.owner(), 0);
  EXPECT_EQ(borrower.allocation.handle, lent);
  EXPECT_EQ(borrower.old_mappings, DeviceSet(0)) << "the lender maps it still";
  EXPECT_EQ(block.state().part(0)->owner(), 1);
  EXPECT_EQ(block.state().part(0)->allocation.handle, own);

  ASSERT_TRUE(stages.end_old_mappings(block, 1));
  EXPECT_THAT(journal.take(), ElementsAre("0 unmap +0 x512", "0 go", "0 done"));
}

}  // namespace
}  // namespace sluice::engine
