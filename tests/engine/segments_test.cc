// Segments: which ranges share one, and that no cell is given out twice, against a list of cells.
#include "engine/segments.hpp"

#include <map>
#include <set>
#include <vector>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "parts_rig.hpp"

namespace sluice::engine {
namespace {

constexpr Address first_segment{std::uint64_t{1} << 40};

TEST(SharesSegment, only_small_shared_ranges_on_pages_of_no_special_kind) {
  EXPECT_TRUE(shares_segment(1, Kind::shared, HostPages::automatic));
  EXPECT_TRUE(shares_segment(block_size - page_size, Kind::shared, HostPages::small));
  EXPECT_FALSE(shares_segment(block_size, Kind::shared, HostPages::small));
  EXPECT_FALSE(shares_segment(1, Kind::host, HostPages::small));
  EXPECT_FALSE(shares_segment(1, Kind::device, HostPages::automatic));
  EXPECT_FALSE(shares_segment(1, Kind::shared, HostPages::transparent));
  EXPECT_FALSE(shares_segment(1, Kind::shared, HostPages::huge));
}

TEST(CanMapCells, only_devices_with_granules_that_divide_a_cell) {
  const auto can = [](auto&& change) {
    device::Journal journal;
    transfer::Devices both;
    device::Traits traits = device::fake_traits();
    both.add(std::make_unique<device::FakeDevice>(0, journal, traits));
    change(traits);
    both.add(std::make_unique<device::FakeDevice>(1, journal, traits));
    return can_map_cells(both);
  };
  EXPECT_TRUE(can_map_cells(transfer::Devices{}));
  EXPECT_TRUE(can([](device::Traits&) {}));
  EXPECT_TRUE(can([](device::Traits& traits) { traits.mapping_granule = cell_size; }));
  EXPECT_FALSE(can([](device::Traits& traits) { traits.mapping_granule = block_size; }));
  EXPECT_FALSE(can([](device::Traits& traits) { traits.mapping_granule = 3 * page_size; }));
  EXPECT_FALSE(can([](device::Traits& traits) { traits.host_granule = 2 * cell_size; }));
  EXPECT_FALSE(can([](device::Traits& traits) { traits.keeps_host_memory = true; }));
  EXPECT_FALSE(can([](device::Traits& traits) { traits.shares_addresses = true; }));
}

TEST(Segments, small_ranges_lie_side_by_side) {
  Segments segments;
  EXPECT_EQ(segments.take(1), std::nullopt);
  segments.add(first_segment);
  EXPECT_EQ(segments.empty_count(), 1U);
  EXPECT_EQ(segments.take(100), first_segment);
  EXPECT_EQ(segments.take(cell_size + 1), first_segment + cell_size);
  EXPECT_EQ(segments.take(cell_size), first_segment + 3 * cell_size);
  EXPECT_EQ(segments.empty_count(), 0U);
  segments.give_back({first_segment + cell_size, 2 * cell_size});
  EXPECT_EQ(segments.take(3 * cell_size), first_segment + 4 * cell_size) << "the gap is too short";
  EXPECT_EQ(segments.take(cell_size), first_segment + cell_size);
  EXPECT_EQ(segments.segment_at(first_segment + segment_size - 1), first_segment);
  EXPECT_EQ(segments.segment_at(first_segment + segment_size), std::nullopt);
  EXPECT_EQ(segments.segment_at(first_segment - 1), std::nullopt);
}

TEST(Segments, the_fullest_that_has_room_comes_first) {
  Segments segments;
  const Address second = first_segment + segment_size;
  segments.add(first_segment);
  for (std::uint32_t i = 0; i < cells_per_segment; ++i) ASSERT_TRUE(segments.take(1));
  segments.add(second);
  segments.give_back({first_segment + 7 * cell_size, 2 * cell_size});
  EXPECT_EQ(segments.take(3 * cell_size), second);
  EXPECT_EQ(segments.take(2 * cell_size), first_segment + 7 * cell_size);
  EXPECT_EQ(segments.take(1), second + 3 * cell_size);
}

TEST(Segments, a_cell_that_is_withdrawn_is_never_taken) {
  Segments segments;
  segments.add(first_segment);
  segments.withdraw(first_segment + cell_size);
  EXPECT_FALSE(segments.is_empty(first_segment));
  EXPECT_EQ(segments.take(2 * cell_size), first_segment + 2 * cell_size);
  EXPECT_EQ(segments.take(1), first_segment);
  segments.give_back({first_segment, cell_size});
  segments.give_back({first_segment + 2 * cell_size, 2 * cell_size});
  EXPECT_EQ(segments.empty_count(), 0U);
}

// Cells that are taken were free, and lie in one segment; a request that is refused fits nowhere.
RC_GTEST_PROP(Segments, give_out_free_cells_whenever_there_are_enough_in_a_row, ()) {
  Segments segments;
  std::set<std::uint64_t> free;  // addresses of cells
  std::map<Address, std::size_t> taken;
  std::vector<Address> known;
  const auto fits = [&](std::size_t count) {
    for (const std::uint64_t cell : free) {
      const Address segment = *segments.segment_at(Address{cell});
      bool all = true;
      for (std::size_t i = 0; all && i < count; ++i)
        all = free.contains(cell + i * cell_size) &&
              segments.segment_at(Address{cell + i * cell_size}) == segment;
      if (all) return true;
    }
    return false;
  };
  const auto steps = *rc::gen::container<std::vector<std::pair<int, std::uint32_t>>>(
      rc::gen::pair(rc::gen::inRange(0, 20), rc::gen::arbitrary<std::uint32_t>()));
  for (const auto& [action, number] : steps) {
    if (action == 0 && known.size() < 3) {
      const Address begin = first_segment + known.size() * 2 * segment_size;
      segments.add(begin);
      known.push_back(begin);
      for (std::uint32_t i = 0; i < cells_per_segment; ++i)
        free.insert((begin + i * cell_size).value);
    } else if (action < 12) {
      // Mostly large, so that segments fill up.
      const std::size_t size = number % 3 == 0 ? number % block_size : block_size - 1;
      const std::size_t count = std::max<std::size_t>(1, (size + cell_size - 1) / cell_size);
      const auto begin = segments.take(count * cell_size);
      RC_ASSERT(begin.has_value() == fits(count));
      if (!begin) continue;
      for (std::size_t i = 0; i < count; ++i)
        RC_ASSERT(free.erase((*begin + i * cell_size).value) == 1U);
      taken.emplace(*begin, count);
    } else if (!taken.empty()) {
      const auto gone = std::next(taken.begin(), number % taken.size());
      segments.give_back({gone->first, gone->second * cell_size});
      for (std::size_t i = 0; i < gone->second; ++i)
        free.insert((gone->first + i * cell_size).value);
      taken.erase(gone);
    }
    std::size_t empty = 0;
    for (const Address segment : known) {
      const auto begin = free.lower_bound(segment.value);
      const auto end = free.lower_bound((segment + segment_size).value);
      const bool all = std::distance(begin, end) == cells_per_segment;
      RC_ASSERT(segments.is_empty(segment) == all);
      empty += all ? 1 : 0;
    }
    RC_ASSERT(segments.empty_count() == empty);
  }
}

}  // namespace
}  // namespace sluice::engine
