// Emptying a device of a block, and the choice of ranges to relocate.
#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/planner.hpp"
#include "victims.hpp"

namespace sluice::plan {
namespace {

using directory::BlockDirectory;
using directory::Mapping;

constexpr Location host = Location::host();
constexpr Location device_0 = Location::device(0);
constexpr Location device_1 = Location::device(1);

// Device 0 may write pages 0-1 and shares 2-3 with the host.
BlockDirectory held_by_device_0() {
  BlockDirectory block(8);
  block.admit(0);
  block.admit(1);
  const PageMask written(PageSpan{0, 2});
  const PageMask read(PageSpan{2, 2});
  block.publish(host, read);
  block.publish(device_0, written | read);
  block.map(0, Mapping::own, Rights::write);
  block.grant(device_0, written, Rights::write);
  block.grant(device_0, read, Rights::read);
  return block;
}

TEST(Evict, saves_only_copies_and_drops_the_rest) {
  EXPECT_EQ(to_string(evict(held_by_device_0(), 0, host, {})),
            "unmap device 0\ncopy 0-1 device 0 -> host\npublish 0-1 host\ndrop 0-3 device 0\n");
  EXPECT_EQ(
      to_string(evict(held_by_device_0(), 0, device_1, {})),
      "unmap device 0\ncopy 0-1 device 0 -> device 1\npublish 0-1 device 1\ndrop 0-3 device 0\n");
}

TEST(Evict, ends_a_mapping_even_where_nothing_is_held) {
  BlockDirectory block(8);
  block.admit(0);
  block.map(0, Mapping::own, Rights::read);
  EXPECT_EQ(to_string(evict(block, 0, host, {})), "unmap device 0\n");
  block.map(0, Mapping::host, Rights::write);
  block.publish(host, block.every_page());
  EXPECT_EQ(to_string(evict(block, 0, host, {})), "unmap device 0\n");
  EXPECT_TRUE(evict(block, 1, host, {}).empty());
}

std::vector<Candidate> any_candidates() {
  std::vector<Candidate> candidates(*rc::gen::inRange<std::size_t>(0, 20));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    candidates[i] = {i, *rc::gen::inRange<std::size_t>(0, 10),
                     *rc::gen::inRange<std::uint64_t>(0, 8)};
  }
  return candidates;
}

RC_GTEST_PROP(ChooseRelocated, leaves_out_what_rests_and_takes_the_longest_rested_first, ()) {
  std::vector<Candidate> candidates = any_candidates();
  const auto rested = *rc::gen::inRange<std::uint64_t>(0, 9);
  const auto need = *rc::gen::inRange<std::size_t>(1, 60);
  std::vector<Candidate> sorted;
  std::ranges::copy_if(candidates, std::back_inserter(sorted),
                       [&](const Candidate& each) { return each.chosen < rested; });
  std::ranges::sort(sorted, {},
                    [](const Candidate& each) { return std::pair(each.chosen, each.index); });
  std::vector<std::size_t> chosen;
  for (const Candidate& each : choose_relocated(candidates, need, rested))
    chosen.push_back(each.index);
  RC_ASSERT(chosen == first_enough(sorted, need));

  std::set<std::size_t> kept;
  for (const Candidate& candidate : candidates) kept.insert(candidate.index);
  RC_ASSERT(kept.size() == candidates.size());
}

// However the requests come: what may leave has its turn before anything moves twice.
RC_GTEST_PROP(ChooseRelocated, everything_has_its_turn_before_anything_moves_twice, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 12);
  std::vector<std::uint64_t> last(count, 0);
  std::vector<int> moves(count, 0);
  for (std::uint64_t now = 1; now <= 4 * count; ++now) {
    std::vector<Candidate> candidates;
    for (std::size_t i = 0; i < count; ++i) candidates.push_back({i, 1, last[i]});
    std::shuffle(candidates.begin(), candidates.end(), std::mt19937(static_cast<unsigned>(now)));
    for (const Candidate& each : choose_relocated(candidates, 1, now)) {
      last[each.index] = now;
      ++moves[each.index];
    }
    const auto [fewest, most] = std::ranges::minmax(moves);
    RC_ASSERT(most - fewest <= 1);
  }
}

}  // namespace
}  // namespace sluice::plan
