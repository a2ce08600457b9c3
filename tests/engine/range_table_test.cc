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

}  // namespace
}  // namespace sluice::engine
