// RangeTable: nobody who answers an access waits for an allocator. The access may come from inside
// the allocator itself.
#include "engine/range_table.hpp"

#include <chrono>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "allocations.hpp"

namespace sluice::engine {
namespace {

using namespace std::chrono_literals;

constexpr AddressSpan window{Address{std::uint64_t{1} << 40}, 256 * block_size};

std::unique_ptr<Range> range_at(Address begin, std::size_t blocks) {
  return std::make_unique<Range>(AddressSpan{begin, blocks * block_size}, blocks * block_size,
                                 Kind::shared, -1, HostPages::small);
}

// Looks an address up on another thread, as a fault source's thread would, while this one is in
// operator new.
class Prober {
 public:
  explicit Prober(const RangeTable& table, Address address) : table_(table), address_(address) {}

  void probe() {
    if (!late_.empty()) return;
    auto found = std::async(std::launch::async, [this] { return bool(table_.find(address_)); });
    ++probes_;
    if (found.wait_for(20s) == std::future_status::ready) {
      EXPECT_TRUE(found.get());
      return;
    }
    ADD_FAILURE() << "a look-up waits for somebody who allocates";
    late_.push_back(std::move(found));  // it ends when the lock is given back
  }
  [[nodiscard]] int probes() const { return probes_; }

 private:
  const RangeTable& table_;
  Address address_;
  int probes_ = 0;
  std::vector<std::future<bool>> late_;
};

TEST(RangeTable, looking_up_waits_for_nobody_who_allocates) {
  RangeTable table(window);
  const auto known = table.take_addresses(block_size, table.window());
  ASSERT_TRUE(known);
  table.insert(range_at(*known, 1));
  Prober prober(table, *known);
  {
    const AtEachAllocation watch([&] { prober.probe(); });
    std::vector<Address> taken;
    for (int i = 0; i < 4; ++i) {
      const auto base = table.take_addresses(2 * block_size, table.window());
      ASSERT_TRUE(base);
      taken.push_back(*base);
      table.insert(range_at(*base, 2));
    }
    EXPECT_EQ(table.all().size(), 5U);
    EXPECT_FALSE(table.find_whole({window.end() - 1, 1}));
    for (const std::size_t i : {1, 3, 0, 2}) {  // so that gaps open and close
      const std::unique_ptr<Range> gone = table.remove(taken[i]);
      ASSERT_NE(gone, nullptr);
      table.return_addresses(gone->pages.begin);
      EXPECT_FALSE(table.find(taken[i]));
    }
  }
  EXPECT_GT(prober.probes(), 8) << "nothing was shown";
}

// A launch that holds a pin still copies its bytes.
TEST(RangeTable, a_range_that_ends_has_its_pages_until_its_addresses_are_given_back) {
  RangeTable table(window);
  const auto base = table.take_addresses(3 * block_size, table.window());
  ASSERT_TRUE(base);
  table.insert(range_at(*base, 3));
  const AddressSpan pages{*base, 3 * block_size};
  EXPECT_EQ(table.pages_at(*base + 2 * block_size), pages);
  const std::unique_ptr<Range> gone = table.remove(*base);
  EXPECT_FALSE(table.find(*base));
  EXPECT_EQ(table.pages_at(*base), pages);
  table.return_addresses(*base);
  EXPECT_EQ(table.pages_at(*base).size, 0U);
}

TEST(RangeTable, zones_keep_to_themselves) {
  RangeTable table(window);
  const AddressSpan lower{window.begin, window.size / 2};
  const AddressSpan upper{lower.end(), window.size - lower.size};
  const auto above = table.take_addresses(block_size, upper);
  const auto below = table.take_addresses(lower.size, lower);
  ASSERT_TRUE(above && below);
  EXPECT_EQ(*above, upper.begin);
  EXPECT_EQ(*below, lower.begin);
  EXPECT_FALSE(table.take_addresses(block_size, lower));
  table.return_addresses(*below);
  EXPECT_TRUE(table.take_addresses(block_size, lower));
  EXPECT_FALSE(table.take_addresses(upper.size, upper));
  table.return_addresses(*above);
  EXPECT_TRUE(table.take_addresses(upper.size, upper));
}

// --- segments ------------------------------------------------------------------------------------

std::unique_ptr<Range> small_range_at(Address begin, std::size_t size = page_size) {
  return std::make_unique<Range>(AddressSpan{begin, size}, size, Kind::shared, -1,
                                 HostPages::small);
}

// A table with one segment.
class SegmentTable : public testing::Test {
 protected:
  SegmentTable() {
    const auto begin = table.take_addresses(segment_size, table.window());
    EXPECT_TRUE(begin);
    segment = *begin;
    table.add_segment(segment);
  }
  Range& insert(std::size_t size = page_size) {
    const auto begin = table.take_cells(size);
    EXPECT_TRUE(begin);
    table.insert(small_range_at(*begin, size));
    return *table.find(*begin);
  }
  void end(Address begin, bool reusable = true) {
    const auto gone = table.remove(begin);
    ASSERT_NE(gone, nullptr);
    EXPECT_EQ(table.return_cells(cells_of(gone->pages), reusable), std::nullopt);
  }
  [[nodiscard]] RangeTable::StrayAddress::State state_at(Address address) {
    return table.close(address).state;
  }

  using State = RangeTable::StrayAddress::State;
  RangeTable table{window};
  Address segment{};
};

TEST_F(SegmentTable, ranges_side_by_side_are_told_apart) {
  std::vector<Address> bases;
  for (std::size_t size = page_size; size < block_size; size += 37 * page_size)
    bases.push_back(insert(size).pages.begin);
  std::size_t size = page_size;
  for (const Address base : bases) {
    EXPECT_TRUE(table.is_in_segment(base));
    EXPECT_EQ(table.find(base)->pages, (AddressSpan{base, size}));
    EXPECT_EQ(table.find(base + size - 1)->pages.begin, base);
    EXPECT_EQ(table.pages_at(base + size - 1), (AddressSpan{base, size}));
    if (size % cell_size != 0) {
      EXPECT_FALSE(table.find(base + size));
    }
    EXPECT_FALSE(table.find_whole({base, size + 1}));
    size += 37 * page_size;
  }
  EXPECT_EQ(table.count(), bases.size());
  end(bases[3]);
  EXPECT_FALSE(table.find(bases[3]));
  EXPECT_TRUE(table.find(bases[2]));
  EXPECT_TRUE(table.find(bases[4]));
  EXPECT_FALSE(table.is_in_segment(segment + segment_size));
}

TEST_F(SegmentTable, a_cell_that_an_access_closed_is_not_given_to_a_range) {
  EXPECT_EQ(state_at(segment + page_size), State::closed);
  EXPECT_EQ(state_at(segment), State::closed) << "it stays so";
  EXPECT_EQ(insert().pages.begin, segment + cell_size);
  EXPECT_EQ(state_at(segment + segment_size), State::none);
  EXPECT_EQ(state_at(Address{0}), State::none);
}

TEST_F(SegmentTable, the_rest_of_a_cell_is_held_by_its_range) {
  Range& range = insert();
  EXPECT_EQ(state_at(range.pages.begin), State::changing) << "it has come meanwhile";
  {
    const RangeTable::StrayAddress rest = table.close(range.pages.end());
    EXPECT_EQ(rest.state, State::reserved);
    EXPECT_EQ(rest.pages.begin, range.pages.end());
    EXPECT_EQ(rest.pages.end(), cells_of(range.pages).end());
    EXPECT_TRUE(range.is_pinned()) << "so the range does not end now";
  }
  EXPECT_FALSE(range.is_pinned());
}

TEST_F(SegmentTable, cells_that_change_hands_belong_to_nobody) {
  const auto begin = table.take_cells(page_size);
  ASSERT_TRUE(begin);
  EXPECT_EQ(state_at(*begin), State::changing);
  table.insert(small_range_at(*begin));
  const auto gone = table.remove(*begin);
  EXPECT_EQ(state_at(*begin), State::changing);
  EXPECT_EQ(table.return_cells(cells_of(gone->pages), true), std::nullopt);
  EXPECT_EQ(table.take_cells(page_size), begin);
}

TEST_F(SegmentTable, cells_that_cannot_be_used_again_are_not) {
  const Address base = insert().pages.begin;
  end(base, false);
  EXPECT_EQ(state_at(base), State::closed);
  EXPECT_EQ(insert().pages.begin, base + cell_size);
}

TEST_F(SegmentTable, one_empty_segment_is_kept) {
  const auto second = table.take_addresses(segment_size, table.window());
  ASSERT_TRUE(second);
  const Address in_first = insert().pages.begin;
  table.add_segment(*second);
  const auto gone = table.remove(in_first);
  EXPECT_EQ(table.return_cells(cells_of(gone->pages), true), segment);
  EXPECT_FALSE(table.is_in_segment(in_first));
  EXPECT_EQ(state_at(in_first), State::none);
  EXPECT_EQ(table.remove_segment(), *second);
  EXPECT_EQ(table.remove_segment(), std::nullopt);
}

TEST_F(SegmentTable, a_segment_with_a_closed_cell_stays) {
  const auto second = table.take_addresses(segment_size, table.window());
  ASSERT_TRUE(second);
  table.add_segment(*second);
  EXPECT_EQ(state_at(segment + 5 * cell_size), State::closed);
  EXPECT_EQ(state_at(*second + 5 * cell_size), State::closed);
  Range& range = insert();
  end(range.pages.begin);  // with empty segments, as far as is known
  EXPECT_TRUE(table.is_in_segment(segment));
  EXPECT_TRUE(table.is_in_segment(*second));
}

}  // namespace
}  // namespace sluice::engine
