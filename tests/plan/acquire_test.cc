// Plans as they are printed, one for each kind of request: what the state machine cannot see is
// which source is best and which step could have been left out.
#include <gtest/gtest.h>

#include "plan/planner.hpp"

namespace sluice::plan {
namespace {

using directory::BlockDirectory;

constexpr Location host = Location::host();
constexpr Location device_0 = Location::device(0);
constexpr Location device_1 = Location::device(1);
constexpr Location device_2 = Location::device(2);
constexpr Abilities plain;
constexpr Abilities recoverable{.host_can_share = true,
                                .recoverable_fault_devices = DeviceSet::of_mask(~std::uint64_t{0})};
constexpr Abilities unshared{.host_can_share = false};
const PageMask first_four(PageSpan{0, 4});

class Acquire : public testing::Test {
 protected:
  Acquire() {
    for (int device = 0; device < 3; ++device) block.admit(device);
  }
  void take(Location to, const PageMask& pages, Access access, const Abilities& abilities = plain,
            Means means = Means::own) {
    const Plan plan = acquire(block, {to, pages, access, means}, abilities);
    for (const Step& step : plan.steps()) apply(step, block);
    ASSERT_EQ(block.check(), directory::Violation::none);
  }
  [[nodiscard]] std::string planned(Location to, const PageMask& pages, Access access,
                                    const Abilities& abilities = plain,
                                    Means means = Means::own) const {
    return to_string(acquire(block, {to, pages, access, means}, abilities));
  }

  BlockDirectory block{8};
};

TEST_F(Acquire, untouched_pages_cost_the_host_nothing_and_a_device_a_fill) {
  EXPECT_EQ(planned(host, first_four, Access::read), "publish 0-3 host\ngrant 0-3 host read\n");
  EXPECT_EQ(planned(device_1, first_four, Access::write),
            "fill 0-3 device 1\npublish 0-3 device 1\nmap 0-7 device 1 own write\ngrant 0-3 device "
            "1 write\n");
}

TEST_F(Acquire, a_read_lowers_the_writer_and_leaves_its_copy) {
  take(host, first_four, Access::write);
  EXPECT_EQ(planned(device_0, first_four, Access::read),
            "downgrade 0-3 host\ncopy 0-3 host -> device 0\npublish 0-3 device 0\nmap 0-7 device 0 "
            "own read\n"
            "grant 0-3 device 0 read\n");
}

TEST_F(Acquire, a_write_revokes_copies_and_drops) {
  take(host, first_four, Access::write);
  EXPECT_EQ(planned(device_0, first_four, Access::write),
            "revoke 0-3 host\ncopy 0-3 host -> device 0\npublish 0-3 device 0\ndrop 0-3 host\nmap "
            "0-7 device 0 own write\n"
            "grant 0-3 device 0 write\n");
}

TEST_F(Acquire, the_last_of_many_readers_writes_without_a_copy) {
  take(host, first_four, Access::write);
  take(device_0, first_four, Access::read);
  take(device_1, first_four, Access::read);
  EXPECT_EQ(planned(host, first_four, Access::write),
            "revoke 0-3 device 0, device 1\ndrop 0-3 device 0, device 1\ngrant 0-3 host write\n");
}

TEST_F(Acquire, a_host_that_cannot_share_reads_as_a_writer_and_is_revoked_instead_of_lowered) {
  EXPECT_EQ(planned(host, first_four, Access::read, unshared),
            "publish 0-3 host\ngrant 0-3 host write\n");
  take(host, first_four, Access::read, unshared);
  EXPECT_EQ(planned(device_0, first_four, Access::read, unshared),
            "revoke 0-3 host\ncopy 0-3 host -> device 0\npublish 0-3 device 0\nmap 0-7 device 0 "
            "own read\n"
            "grant 0-3 device 0 read\n");
}

TEST_F(Acquire, the_host_is_the_first_source_of_a_device_then_whoever_has_most) {
  take(device_0, PageMask(PageSpan{0, 3}), Access::write);
  take(device_1, PageMask(PageSpan{3, 4}), Access::write);
  take(host, PageMask(PageSpan{0, 1}), Access::read);
  EXPECT_EQ(
      planned(device_2, block.every_page(), Access::read),
      "downgrade 1-6 device 0, device 1\ncopy 0 host -> device 2\ncopy 3-6 device 1 -> device 2\n"
      "copy 1-2 device 0 -> device 2\nfill 7 device 2\npublish 0-7 device 2\nmap 0-7 device "
      "2 own read\n"
      "grant 0-7 device 2 read\n");
}

TEST_F(Acquire, one_source_is_enough_where_several_have_a_page) {
  take(device_0, PageMask(PageSpan{0, 2}), Access::write);
  take(device_1, PageMask(PageSpan{0, 2}), Access::read);
  take(device_1, PageMask(PageSpan{2, 2}), Access::write);
  EXPECT_EQ(
      planned(host, first_four, Access::read),
      "downgrade 2-3 device 1\ncopy 0-3 device 1 -> host\npublish 0-3 host\ngrant 0-3 host read\n");
}

TEST_F(Acquire, a_mapping_that_serves_is_kept) {
  take(device_0, first_four, Access::write);
  take(host, first_four, Access::write);
  EXPECT_EQ(block.mapped(0), Rights::write);
  EXPECT_EQ(
      planned(device_0, PageMask(PageSpan{0, 1}), Access::read),
      "downgrade 0 host\ncopy 0 host -> device 0\npublish 0 device 0\ngrant 0 device 0 read\n");
}

TEST_F(Acquire, a_device_with_recoverable_faults_maps_just_what_it_is_granted) {
  take(device_0, PageMask(PageSpan{0, 2}), Access::write, recoverable);
  EXPECT_EQ(planned(device_0, first_four, Access::read, recoverable),
            "fill 2-3 device 0\npublish 2-3 device 0\nmap 2-3 device 0 own read\ngrant 2-3 device "
            "0 read\n");
  take(device_0, first_four, Access::read, recoverable);
  EXPECT_EQ(block.mapped(0), Rights::write) << "pages mapped with more keep it";
}

TEST_F(Acquire, lost_pages_and_pages_beyond_the_extent_are_left_out) {
  take(device_0, first_four, Access::write);
  block.lose(0);
  EXPECT_EQ(planned(host, PageMask::all(), Access::read),
            "publish 4-7 host\ngrant 4-7 host read\n");
  EXPECT_EQ(planned(host, first_four, Access::read), "");
  EXPECT_FALSE(ready(block, 1, Access::read));
}

TEST_F(Acquire, a_host_mapping_brings_the_whole_block_to_the_host) {
  take(device_0, PageMask(PageSpan{0, 2}), Access::write);
  take(device_1, PageMask(PageSpan{2, 2}), Access::write);
  EXPECT_EQ(planned(device_0, {}, Access::read, plain, Means::host_mapped),
            "unmap device 0\nrevoke 2-3 device 1\ncopy 0-1 device 0 -> host\ncopy 2-3 device 1 -> "
            "host\npublish 0-3 host\n"
            "drop 0-3 device 0, device 1\nmap 0-7 device 0 host read\n");
}

TEST_F(Acquire, a_host_mapping_to_write_makes_untouched_pages_the_hosts) {
  take(device_0, {}, Access::read, plain, Means::host_mapped);
  EXPECT_TRUE(ready(block, 0, Access::read));
  EXPECT_FALSE(ready(block, 0, Access::write));
  EXPECT_EQ(planned(device_0, {}, Access::write, plain, Means::host_mapped),
            "publish 0-7 host\nmap 0-7 device 0 host write\n");
  take(device_0, {}, Access::write, plain, Means::host_mapped);
  EXPECT_EQ(planned(device_0, {}, Access::read, plain, Means::host_mapped), "")
      << "to write includes to read";
  EXPECT_TRUE(ready(block, 0, Access::write));
}

TEST_F(Acquire, the_host_yields_to_a_device_that_maps_its_memory) {
  take(host, PageMask::all(), Access::write);
  EXPECT_EQ(planned(device_0, first_four, Access::read, plain, Means::host_mapped),
            "downgrade 0-3 host\nmap 0-7 device 0 host read\n");
  EXPECT_EQ(planned(device_0, first_four, Access::read, unshared, Means::host_mapped),
            "revoke 0-3 host\nmap 0-7 device 0 host read\n");
  EXPECT_EQ(planned(device_0, first_four, Access::write, plain, Means::host_mapped),
            "revoke 0-3 host\nmap 0-7 device 0 host write\n");
  const Request both{device_0, PageMask(PageSpan{0, 4}), Access::write, Means::host_mapped,
                     PageMask(PageSpan{2, 2})};
  EXPECT_EQ(to_string(acquire(block, both, plain)),
            "revoke 0-1 host\ndowngrade 2-3 host\nmap 0-7 device 0 host write\n");
  take(device_0, first_four, Access::write, plain, Means::host_mapped);
  EXPECT_TRUE(ready(block, 0, first_four, Access::write));
  EXPECT_FALSE(ready(block, 0, Access::write)) << "the host may see the others";
  EXPECT_FALSE(ready(block, 0, Access::read)) << "the host may change the others";
  take(host, PageMask(PageSpan{0, 1}), Access::read);
  EXPECT_TRUE(ready(block, 0, first_four, Access::read));
  EXPECT_FALSE(ready(block, 0, first_four, Access::write));
  EXPECT_EQ(planned(device_0, first_four, Access::write, plain, Means::host_mapped),
            "revoke 0 host\n");
}

TEST_F(Acquire, a_host_that_stands_yields_to_nobody) {
  BlockDirectory standing(8, directory::HostRights::standing);
  standing.admit(0);
  standing.publish(host, standing.every_page());
  standing.grant(host, standing.every_page(), Rights::write);
  const Request all{device_0, PageMask::all(), Access::write, Means::host_mapped};
  const Plan plan = acquire(standing, all, plain);
  EXPECT_EQ(to_string(plan), "map 0-7 device 0 host write\n");
  for (const Step& step : plan.steps()) apply(step, standing);
  EXPECT_TRUE(ready(standing, 0, Access::write));
}

TEST_F(Acquire, the_host_needs_nothing_but_its_rights_while_the_block_is_host_mapped) {
  take(device_0, {}, Access::write, plain, Means::host_mapped);
  EXPECT_EQ(planned(host, first_four, Access::write), "grant 0-3 host write\n");
}

TEST_F(Acquire, an_own_copy_ends_all_host_mappings) {
  take(device_0, {}, Access::write, plain, Means::host_mapped);
  take(device_1, {}, Access::read, plain, Means::host_mapped);
  EXPECT_EQ(planned(device_0, first_four, Access::read),
            "unmap device 0, device 1\ncopy 0-3 host -> device 0\npublish 0-3 device 0\nmap 0-7 "
            "device 0 own read\n"
            "grant 0-3 device 0 read\n");
}

TEST_F(Acquire, borrowed_memory_keeps_its_bytes_and_whoever_had_copies_loses_them) {
  take(device_1, block.every_page(), Access::write);
  take(device_0, block.every_page(), Access::write);
  take(host, first_four, Access::read);
  EXPECT_EQ(lender(block, 1), 0);
  EXPECT_EQ(lender(block, 0), -1) << "one that has all of it";
  EXPECT_EQ(planned(device_1, block.every_page(), Access::write, plain, Means::borrow),
            "unmap device 1\nrevoke 0-7 host, device 0\nborrow 0-7 device 0 -> device 1\npublish "
            "0-7 device 1\ndrop 0-7 host, device 0\nmap 0-7 device 1 own write\ngrant 0-7 device 1 "
            "write\n");
  take(device_1, block.every_page(), Access::write, plain, Means::borrow);
  EXPECT_TRUE(ready(block, 1, Access::write));
  EXPECT_EQ(planned(device_0, block.every_page(), Access::write, plain, Means::borrow),
            "revoke 0-7 device 1\nborrow 0-7 device 1 -> device 0\npublish 0-7 device 0\ndrop 0-7 "
            "device 1\nmap 0-7 device 0 own write\ngrant 0-7 device 0 write\n")
      << "what was lent is mapped there still";
}

TEST_F(Acquire, ready_once_the_whole_block_is_granted) {
  take(device_0, first_four, Access::write);
  EXPECT_FALSE(ready(block, 0, Access::read));
  take(device_0, block.every_page(), Access::read);
  EXPECT_TRUE(ready(block, 0, Access::read));
  EXPECT_FALSE(ready(block, 0, Access::write));
  take(device_0, block.every_page(), Access::write);
  EXPECT_TRUE(ready(block, 0, Access::write));
}

TEST_F(Acquire, discard_takes_rights_first_and_then_everything) {
  take(host, first_four, Access::write);
  take(device_0, PageMask(PageSpan{0, 2}), Access::read);
  EXPECT_EQ(to_string(discard(block, PageMask::all(), plain)),
            "revoke 0-3 host, device 0\ndiscard 0-3\n");
  EXPECT_EQ(to_string(discard(block, PageMask(PageSpan{4, 4}), plain)), "");
}

TEST(Plan, takes_as_many_sources_as_there_are_devices) {
  BlockDirectory block(64);
  for (int device = 0; device < max_devices; ++device) {
    block.admit(device);
    const PageMask page(PageSpan{static_cast<std::uint32_t>(device), 1});
    const Plan given =
        acquire(block, {Location::device(device), page, Access::write, Means::own}, plain);
    for (const Step& step : given.steps()) apply(step, block);
  }
  const Plan plan = acquire(block, {host, block.every_page(), Access::write, Means::own}, plain);
  EXPECT_EQ(plan.pages_moved(), 64u);
  EXPECT_EQ(plan.steps().size(), 64u + 4);
}

TEST(Plan, counts_what_copies_and_fills_write) {
  BlockDirectory block(8);
  block.admit(0);
  block.publish(host, first_four);
  EXPECT_EQ(
      acquire(block, {device_0, block.every_page(), Access::read, Means::own}, plain).pages_moved(),
      8u);
}

TEST(Plan, prints_runs_of_pages) {
  PageMask pages(PageSpan{0, 16});
  pages.insert({32, 1});
  EXPECT_EQ(to_string(Step{.kind = StepKind::copy, .to = host, .from = device_1, .pages = pages}),
            "copy 0-15,32 device 1 -> host");
}

}  // namespace
}  // namespace sluice::plan
