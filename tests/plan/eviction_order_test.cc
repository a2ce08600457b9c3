// Which blocks leave first: the orders by themselves, and the choice between them on whole
// sequences of launches.
#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include <rapidcheck.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/eviction_order.hpp"
#include "victims.hpp"

namespace sluice::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Usage, counts_launches_that_follow_closely_as_one_use) {
  Usage usage;
  usage = usage.after(10);
  EXPECT_EQ(usage.distance, 0u) << "used once";
  usage = usage.after(10).after(12).after(10 + 2 + Usage::one_use);
  EXPECT_EQ(usage.distance, 0u) << "still the same use";
  EXPECT_EQ(usage.last, 16u);
  usage = usage.after(40);
  EXPECT_EQ(usage.distance, 24u);
  usage = usage.after(41);
  EXPECT_EQ(usage.distance, 24u);
}

TEST(Usage, joins_launches_of_the_part_and_of_the_whole) {
  const auto expect = [](Usage a, Usage b, std::uint64_t last, std::uint64_t distance) {
    for (const Usage& joined : {together(a, b), together(b, a)}) {
      EXPECT_EQ(joined.last, last);
      EXPECT_EQ(joined.distance, distance);
    }
  };
  expect({}, {}, 0, 0);
  expect({50, 20}, {}, 50, 20);
  expect({50, 0}, {30, 0}, 50, 20);    // used once as each
  expect({50, 40}, {30, 10}, 50, 20);  // the part was used between two uses of the whole
  expect({50, 10}, {30, 5}, 50, 10);   // and before both
  expect({50, 0}, {48, 30}, 50, 30);   // one use of both
}

TEST(Order, by_last_use_the_oldest_goes_first) {
  EXPECT_TRUE(goes_before(Order::last_use, {3, 1}, {4, 100}, 50));
  EXPECT_FALSE(goes_before(Order::last_use, {4, 100}, {3, 1}, 50));
}

TEST(Order, by_reuse_what_comes_back_last_goes_first) {
  const auto before = [](Usage a, Usage b) {
    EXPECT_FALSE(goes_before(Order::reuse, b, a, 100));
    return goes_before(Order::reuse, a, b, 100);
  };
  EXPECT_TRUE(before({90, 60}, {80, 30})) << "the longer distance";
  EXPECT_TRUE(before({90, 0}, {80, 60})) << "used once: perhaps never again";
  EXPECT_TRUE(before({90, 60}, {85, 60})) << "among equals the newest";
  EXPECT_TRUE(before({10, 20}, {80, 40})) << "gone for more than twice its distance";
  EXPECT_TRUE(before({80, 7}, {99, 0})) << "in the middle of a use";
  EXPECT_TRUE(before({98, 9}, {99, 50})) << "among those the oldest";
  EXPECT_TRUE(before({80, 12}, awaited(80))) << "brought over ahead of its use";
}

// A device and the launches on it, as the engine keeps them.
class Device {
 public:
  Device(std::size_t buffers, std::size_t fit, std::size_t blocks)
      : fit_(fit * blocks), blocks_(blocks), all_(buffers * blocks) {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = {.index = i, .size = 1};
  }

  // `always`: the order that evicts, whatever the ghost_lists say.
  void launch(std::size_t buffer, std::optional<Order> always = {}) {
    const auto named = std::span(all_).subspan(buffer * blocks_, blocks_);
    std::size_t need = 0;
    for (const Evictable& block : named) need += block.resident ? 0 : 1;
    if (resident() + need > fit_) make_room(resident() + need - fit_, named, always);
    ++now_;
    for (Evictable& block : named) {
      moved_ += block.resident || block.usage.last == 0 ? 0 : 1;
      block.resident = true;
      block.usage = block.usage.after(now_);
    }
  }
  [[nodiscard]] double moved() const {  // buffers
    return static_cast<double>(moved_) / static_cast<double>(blocks_);
  }
  [[nodiscard]] std::size_t resident() const {
    return static_cast<std::size_t>(std::ranges::count(all_, true, &Evictable::resident));
  }
  [[nodiscard]] bool holds(std::size_t buffer) const { return all_[buffer * blocks_].resident; }
  [[nodiscard]] const EvictionOrder& order() const { return order_; }

 private:
  void make_room(std::size_t need, std::span<const Evictable> named, std::optional<Order> always) {
    order_.look(all_, fit_, now_);
    std::vector<Evictable> may_leave;
    std::ranges::copy_if(all_, std::back_inserter(may_leave), [&](const Evictable& each) {
      return each.resident && (each.index < named.front().index || each.index > named.back().index);
    });
    std::span<Evictable> chosen;
    if (always) {
      std::ranges::stable_sort(may_leave, [&](const Evictable& a, const Evictable& b) {
        return goes_before(*always, a.usage, b.usage, now_);
      });
      chosen = std::span(may_leave).first(need);
    } else {
      chosen = order_.choose(may_leave, need);
    }
    for (const Evictable& each : chosen) all_[each.index].resident = false;
    moved_ += chosen.size();
  }

  const std::size_t fit_;
  const std::size_t blocks_;
  std::vector<Evictable> all_;
  EvictionOrder order_;
  std::uint64_t now_ = 0;
  std::size_t moved_ = 0;
};

constexpr std::size_t fit = 32;
using Sequence = std::vector<std::size_t>;

double moved(const Sequence& sequence, std::optional<Order> always = {}, std::size_t blocks = 1) {
  Device device(std::ranges::max(sequence) + 1, fit, blocks);
  for (const std::size_t buffer : sequence) device.launch(buffer, always);
  return device.moved();
}
Sequence repeat(std::size_t count, const std::function<std::size_t(std::size_t)>& buffer) {
  Sequence sequence;
  for (std::size_t i = 0; i < count; ++i) sequence.push_back(buffer(i));
  return sequence;
}
Sequence turns(std::size_t count, std::size_t buffers) {
  return repeat(count, [=](std::size_t i) { return i % buffers; });
}
Sequence hot_and_scan(std::size_t count, std::size_t hot, std::size_t cold) {
  std::size_t next = 0;
  return repeat(count, [&, hot, cold](std::size_t i) {
    const std::size_t step = hot + 16;
    return i % step < hot ? i % step : hot + next++ % cold;
  });
}
Sequence phases(std::size_t count, std::size_t length, std::size_t buffers) {
  return repeat(count, [=](std::size_t i) { return (i / length * 30 + i % 30) % buffers; });
}
Sequence walk(std::size_t count, std::size_t buffers) {
  std::mt19937 random(9);
  std::size_t at = 0;
  return repeat(count,
                [&](std::size_t) { return at = (at + buffers + random() % 5 - 2) % buffers; });
}
Sequence operator*(const Sequence& sequence, std::size_t times) {  // each buffer so often in a row
  return repeat(sequence.size() * times, [&](std::size_t i) { return sequence[i / times]; });
}

TEST(EvictionOrder, a_scan_does_not_push_out_what_is_used_at_every_step) {
  Device device(24 + 40, fit, 1);
  for (const std::size_t buffer : hot_and_scan(2000, 24, 40)) device.launch(buffer);
  EXPECT_EQ(device.order().best(), Order::reuse);
  EXPECT_THAT(to_string(device.order()), HasSubstr("reuse (missed by last use: "));
  for (std::size_t hot = 0; hot < 20; ++hot) EXPECT_TRUE(device.holds(hot)) << hot;
}

TEST(EvictionOrder, is_near_the_best_of_its_orders_on_all_kinds_of_sequences) {
  const std::vector<Sequence> sequences{
      turns(2000, 64), turns(2000, 128), turns(700, 64) * 3, hot_and_scan(2000, 24, 40),
      hot_and_scan(2000, 24, 104), hot_and_scan(700, 24, 40) * 3, hot_and_scan(2000, 16, 40),
      phases(2000, 500, 64), phases(2000, 500, 128), walk(2000, 64), walk(2000, 128),
      walk(700, 64) * 3,
      // forth and back
      repeat(2000, [](std::size_t i) { return i % 128 < 64 ? i % 64 : 63 - i % 64; }),
      // any of them
      repeat(2000, [random = std::mt19937(7)](std::size_t) mutable { return random() % 64; })};
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    double best = moved(sequences[i], orders.front());
    for (const Order order : orders) best = std::min(best, moved(sequences[i], order));
    EXPECT_LE(moved(sequences[i]), 1.1 * best + fit) << "sequence " << i;
  }
}

TEST(EvictionOrder, follows_a_program_that_changes_its_ways) {
  Sequence sequence;
  for (int i = 0; i < 4; ++i)
    for (const Sequence& part : {turns(500, 64), walk(500, 64), phases(500, 250, 64)})
      sequence.insert(sequence.end(), part.begin(), part.end());
  EXPECT_LT(moved(sequence), 0.8 * moved(sequence, Order::last_use));
  EXPECT_LT(moved(sequence), 1.1 * moved(sequence, Order::reuse));
}

TEST(EvictionOrder, a_buffer_of_many_blocks_behaves_as_one) {
  for (const Sequence& sequence : {turns(2000, 64), hot_and_scan(2000, 24, 40), walk(2000, 64)})
    EXPECT_NEAR(moved(sequence, {}, 4) / moved(sequence), 1, 0.03);
}

TEST(EvictionOrder, before_anything_is_known_the_oldest_goes) {
  std::vector<Evictable> blocks;
  for (std::size_t i = 0; i < 4; ++i)
    blocks.push_back({.index = i, .size = 2, .usage = {10 + (i + 2) % 4, 0}, .resident = true});
  EvictionOrder order;
  EXPECT_FALSE(order.was_needed());
  order.look(blocks, 8, 13);
  EXPECT_TRUE(order.was_needed());
  EXPECT_EQ(order.best(), Order::last_use);
  std::vector<std::size_t> chosen;
  for (const Evictable& each : order.choose(blocks, 3)) chosen.push_back(each.index);
  EXPECT_THAT(chosen, ElementsAre(2, 3));
  EXPECT_EQ(to_string(order), "last use (missed by last use: 8, by reuse: 8)");
}

// What could have come about: ghost_lists only of what the caller says, and no launch later than
// the last.
std::vector<Evictable> any_blocks(std::uint64_t now) {
  std::vector<Evictable> blocks(*rc::gen::inRange<std::size_t>(0, 20));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto last = *rc::gen::inRange<std::uint64_t>(0, now + 1);
    blocks[i] = {.index = i,
                 .size = *rc::gen::inRange<std::size_t>(1, 5),
                 .usage = {last, *rc::gen::inRange<std::uint64_t>(0, last + 1)},
                 .resident = *rc::gen::arbitrary<bool>(),
                 .ghost_lists = *rc::gen::inRange<std::uint8_t>(0, 1U << orders.size())};
  }
  return blocks;
}

RC_GTEST_PROP(EvictionOrder, ghost_lists_never_hold_more_than_fits, ()) {
  const std::uint64_t now = 40;
  std::vector<Evictable> blocks = any_blocks(now);
  const auto capacity = *rc::gen::inRange<std::size_t>(0, 40);
  EvictionOrder order;
  order.look(blocks, capacity, now);
  for (std::size_t list = 0; list < orders.size(); ++list) {
    std::size_t held = 0;
    for (const Evictable& each : blocks)
      held += (each.ghost_lists >> list & 1U) != 0 ? each.size : 0;
    RC_ASSERT(held <= capacity);
  }
}

RC_GTEST_PROP(EvictionOrder, chooses_the_first_of_its_order_and_no_more_than_needed, ()) {
  const std::uint64_t now = 40;
  std::vector<Evictable> blocks = any_blocks(now);
  EvictionOrder order;
  order.look(blocks, *rc::gen::inRange<std::size_t>(1, 40), now);
  std::erase_if(blocks, [](const Evictable& each) { return !each.resident; });

  const Order best = order.best();
  const auto list = std::ranges::find(orders, best) - orders.begin();
  std::vector<Evictable> sorted = blocks;  // in the order of indexes, which settles what is alike
  std::ranges::stable_sort(sorted, [&](const Evictable& a, const Evictable& b) {
    const bool a_held = (a.ghost_lists >> list & 1U) != 0;
    const bool b_held = (b.ghost_lists >> list & 1U) != 0;
    return a_held != b_held ? b_held : goes_before(best, a.usage, b.usage, now);
  });
  const auto need = *rc::gen::inRange<std::size_t>(0, 60);
  std::vector<std::size_t> chosen;
  for (const Evictable& victim : order.choose(blocks, need)) chosen.push_back(victim.index);
  RC_ASSERT(chosen == first_enough(sorted, need));
  std::set<std::size_t> kept;
  for (const Evictable& each : blocks) kept.insert(each.index);
  RC_ASSERT(kept.size() == sorted.size());
}

// An order is one: no circles, and what is alike in both numbers is alike in it.
RC_GTEST_PROP(Order, orders, ()) {
  const std::uint64_t now = 40;
  const auto any = [now] {
    const auto last = *rc::gen::inRange<std::uint64_t>(0, now + 1);
    return Usage{last, *rc::gen::inRange<std::uint64_t>(0, last + 1)};
  };
  const Usage a = any();
  const Usage b = any();
  const Usage c = any();
  for (const Order order : orders) {
    RC_ASSERT(!goes_before(order, a, a, now));
    RC_ASSERT(!(goes_before(order, a, b, now) && goes_before(order, b, a, now)));
    if (goes_before(order, a, b, now) && goes_before(order, b, c, now))
      RC_ASSERT(goes_before(order, a, c, now));
  }
}

}  // namespace
}  // namespace sluice::plan
