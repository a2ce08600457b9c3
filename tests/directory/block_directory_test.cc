// Each transition of the directory by itself, and each invariant broken on purpose.
#include "directory/block_directory.hpp"

#include <gtest/gtest.h>

namespace sluice::directory {
namespace {

constexpr Location host = Location::host();
constexpr Location device_0 = Location::device(0);
constexpr Location device_1 = Location::device(1);
const PageMask first_two(PageSpan{0, 2});

BlockDirectory block_of(std::uint32_t extent) {
  BlockDirectory block(extent);
  block.admit(0);
  block.admit(1);
  return block;
}

TEST(BlockDirectory, starts_untouched) {
  const BlockDirectory block(3);
  EXPECT_EQ(block.untouched(), block.every_page());
  EXPECT_EQ(block.every_page().count(), 3u);
  EXPECT_EQ(block.state(2), PageState::untouched);
  EXPECT_TRUE(block.holders().empty());
  EXPECT_EQ(block.check(), Violation::none);
}

TEST(BlockDirectory, answers_for_devices_never_admitted) {
  const BlockDirectory block(3);
  EXPECT_EQ(block.mapping(63), Mapping::none);
  EXPECT_EQ(block.mapped(63), Rights::none);
  EXPECT_TRUE(block.holding(Location::device(63)).resident.empty());
  EXPECT_EQ(block.rights(Location::device(63), 0), Rights::none);
}

TEST(BlockDirectory, admits_a_device_once) {
  BlockDirectory block(1);
  block.admit(5);
  block.publish(Location::device(5), block.every_page());
  block.admit(5);
  EXPECT_EQ(block.devices().size(), 1u);
  EXPECT_EQ(block.state(0), PageState::exclusive);
}

TEST(BlockDirectory, follows_the_transition_list) {
  BlockDirectory block = block_of(4);
  block.publish(device_0, first_two);
  EXPECT_EQ(block.state(0), PageState::exclusive);
  EXPECT_EQ(block.state(2), PageState::untouched);
  block.publish(host, first_two);
  EXPECT_EQ(block.state(1), PageState::shared);
  EXPECT_EQ(block.holders(0).size(), 2);
  block.drop(host, first_two);
  EXPECT_EQ(block.state(1), PageState::exclusive);
  EXPECT_EQ(block.holders(), LocationSet(device_0));
  EXPECT_EQ(block.lose(0), first_two);
  EXPECT_EQ(block.state(0), PageState::lost);
  EXPECT_EQ(block.lost(), first_two);
  EXPECT_EQ(block.untouched(), block.every_page() - first_two);
  block.discard(first_two);
  EXPECT_EQ(block.state(0), PageState::untouched);
  EXPECT_EQ(block.check(), Violation::none);
}

TEST(BlockDirectory, rights_go_up_by_grant_and_down_by_lower_and_revoke) {
  BlockDirectory block = block_of(4);
  block.publish(device_1, first_two);
  block.grant(device_1, first_two, Rights::write);
  EXPECT_EQ(block.rights(device_1, 1), Rights::write);
  block.grant(device_1, first_two, Rights::read);
  EXPECT_EQ(block.rights(device_1, 1), Rights::write) << "a grant takes nothing away";
  block.downgrade(device_1, PageMask(PageSpan{0, 1}));
  EXPECT_EQ(block.rights(device_1, 0), Rights::read);
  EXPECT_EQ(block.rights(device_1, 1), Rights::write);
  block.revoke(device_1, first_two);
  EXPECT_EQ(block.rights(device_1, 1), Rights::none);
  EXPECT_EQ(block.holding(device_1).resident, first_two) << "the copy stays";
  EXPECT_EQ(block.check(), Violation::none);
}

TEST(BlockDirectory, rights_end_with_the_copy_and_with_the_mapping) {
  BlockDirectory block = block_of(4);
  block.map(0, Mapping::own, Rights::write);
  block.publish(device_0, first_two);
  block.grant(device_0, first_two, Rights::write);
  block.map(0, Mapping::none, Rights::none);
  EXPECT_EQ(block.rights(device_0, 0), Rights::none);
  EXPECT_EQ(block.mapped(0), Rights::none);
  EXPECT_EQ(block.holding(device_0).resident, first_two);
  block.map(0, Mapping::own, Rights::read);
  block.grant(device_0, first_two, Rights::read);
  block.drop(device_0, first_two);
  EXPECT_EQ(block.rights(device_0, 0), Rights::none);
  EXPECT_EQ(block.mapping(0), Mapping::own);
}

TEST(BlockDirectory, discard_ends_every_copy_and_right_of_the_pages_alone) {
  BlockDirectory block = block_of(4);
  block.publish(host, block.every_page());
  block.publish(device_0, block.every_page());
  block.grant(host, block.every_page(), Rights::read);
  block.discard(first_two);
  EXPECT_EQ(block.untouched(), first_two);
  EXPECT_EQ(block.rights(host, 0), Rights::none);
  EXPECT_EQ(block.rights(host, 2), Rights::read);
  EXPECT_EQ(block.state(3), PageState::shared);
}

TEST(BlockDirectory, only_on_leaves_out_what_others_have) {
  BlockDirectory block = block_of(4);
  block.publish(host, PageMask(PageSpan{0, 3}));
  block.publish(device_0, PageMask(PageSpan{1, 3}));
  block.publish(device_1, PageMask(PageSpan{2, 1}));
  EXPECT_EQ(block.only_on(host), PageMask(PageSpan{0, 1}));
  EXPECT_EQ(block.only_on(device_0), PageMask(PageSpan{3, 1}));
  EXPECT_TRUE(block.only_on(device_1).empty());
}

TEST(BlockDirectory, a_lost_device_takes_its_only_copies_and_nothing_else) {
  BlockDirectory block = block_of(4);
  block.map(0, Mapping::own, Rights::write);
  block.publish(host, first_two);
  block.publish(device_0, block.every_page());
  EXPECT_EQ(block.lose(0), block.every_page() - first_two);
  EXPECT_EQ(block.state(0), PageState::exclusive);
  EXPECT_EQ(block.mapping(0), Mapping::none);
  EXPECT_EQ(block.check(), Violation::none);
  EXPECT_TRUE(block.lose(0).empty());
  EXPECT_TRUE(block.lose(17).empty());
  EXPECT_EQ(block.lost(), block.every_page() - first_two) << "what is lost stays lost";
}

TEST(BlockDirectory, host_mapped_names_the_devices_that_map_host_memory) {
  BlockDirectory block = block_of(1);
  block.map(0, Mapping::own, Rights::read);
  block.map(1, Mapping::host, Rights::read);
  EXPECT_EQ(block.host_mapped(), LocationSet(device_1));
  EXPECT_EQ(block.check(), Violation::none);
}

TEST(BlockDirectory, names_the_first_broken_invariant) {
  const auto broken = [](auto&& breaking) {
    BlockDirectory block = block_of(4);
    breaking(block);
    return block.check();
  };
  EXPECT_EQ(broken([](BlockDirectory& block) { block.grant(host, first_two, Rights::read); }),
            Violation::rights_without_copy);
  EXPECT_EQ(broken([](BlockDirectory& block) {
              block.publish(host, first_two);
              block.publish(device_1, first_two);
              block.grant(device_1, first_two, Rights::write);
            }),
            Violation::writer_not_alone);
  EXPECT_EQ(broken([](BlockDirectory& block) {
              block.map(1, Mapping::host, Rights::read);
              block.publish(device_0, first_two);
            }),
            Violation::host_mapped_with_copy);
  EXPECT_EQ(broken([](BlockDirectory& block) { block.publish(host, PageMask(PageSpan{3, 2})); }),
            Violation::beyond_extent);
}

TEST(BlockDirectory, a_lost_page_does_not_come_back_by_a_copy) {
  BlockDirectory block = block_of(4);
  block.publish(device_0, first_two);
  block.lose(0);
#ifdef NDEBUG
  block.publish(host, first_two);
  EXPECT_EQ(block.check(), Violation::lost_with_copy);
#else
  EXPECT_DEATH(block.publish(host, first_two), "lost pages come back by discard only");
#endif
}

TEST(BlockDirectory, prints_its_words) {
  EXPECT_STREQ(to_string(PageState::untouched), "untouched");
  EXPECT_STREQ(to_string(PageState::exclusive), "exclusive");
  EXPECT_STREQ(to_string(PageState::shared), "shared");
  EXPECT_STREQ(to_string(PageState::lost), "lost");
  EXPECT_STREQ(to_string(Violation::none), "none");
  EXPECT_STREQ(to_string(Violation::lost_with_copy), "a lost page has a copy");
}

}  // namespace
}  // namespace sluice::directory
