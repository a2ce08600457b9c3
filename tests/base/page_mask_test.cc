// PageMask against std::bitset: the same operations, a bit at a time.
#include "base/page_mask.hpp"

#include <algorithm>
#include <bitset>
#include <utility>

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace sluice {
namespace {

using Bits = std::bitset<pages_per_block>;

Bits bits_of(const PageMask& mask) {
  Bits bits;
  for (std::uint32_t page = 0; page < pages_per_block; ++page) bits[page] = mask.contains(page);
  return bits;
}

rc::Gen<PageSpan> any_span() {
  return rc::gen::map(rc::gen::pair(rc::gen::inRange(0, 513), rc::gen::inRange(0, 513)),
                      [](std::pair<int, int> ends) {
                        const auto [low, high] = std::minmax(ends.first, ends.second);
                        return PageSpan{static_cast<std::uint32_t>(low),
                                        static_cast<std::uint32_t>(high - low)};
                      });
}

// A mask that was built by inserting and erasing spans, and the bits it should have.
struct Pair {
  PageMask mask;
  Bits bits;
};

Pair any_pair() {
  Pair pair;
  for (int i = *rc::gen::inRange(0, 8); i > 0; --i) {
    const PageSpan span = *any_span();
    const bool insert = *rc::gen::weightedElement<bool>({{3, true}, {1, false}});
    insert ? pair.mask.insert(span) : pair.mask.erase(span);
    for (std::uint32_t page = span.first; page < span.end(); ++page) pair.bits[page] = insert;
  }
  return pair;
}

RC_GTEST_PROP(PageMask, holds_what_was_inserted_and_not_erased, ()) {
  const Pair a = any_pair();
  RC_ASSERT(bits_of(a.mask) == a.bits);
  RC_ASSERT(a.mask.count() == a.bits.count());
  RC_ASSERT(a.mask.empty() == a.bits.none());
}

RC_GTEST_PROP(PageMask, widens_to_granules, ()) {
  const Pair a = any_pair();
  const auto granule = static_cast<std::uint32_t>(*rc::gen::element(1, 2, 16, 48, 512));
  const auto extent = static_cast<std::uint32_t>(*rc::gen::inRange(1, 513));
  Bits inside;
  Bits wide;
  for (std::uint32_t page = 0; page < extent; ++page) inside[page] = a.bits[page];
  for (std::uint32_t page = 0; page < extent; ++page)
    for (std::uint32_t other = 0; other < extent; ++other)
      if (inside[other] && page / granule == other / granule) wide[page] = true;
  PageMask mask = a.mask;
  mask.erase({extent, static_cast<std::uint32_t>(pages_per_block) - extent});
  RC_ASSERT(bits_of(mask.widened(granule, extent)) == wide);
}

RC_GTEST_PROP(PageMask, is_a_set, ()) {
  const Pair a = any_pair();
  const Pair b = any_pair();
  RC_ASSERT(bits_of(a.mask | b.mask) == (a.bits | b.bits));
  RC_ASSERT(bits_of(a.mask & b.mask) == (a.bits & b.bits));
  RC_ASSERT(bits_of(a.mask - b.mask) == (a.bits & ~b.bits));
  RC_ASSERT(a.mask.contains(b.mask) == (b.bits & ~a.bits).none());
  RC_ASSERT(a.mask.intersects(b.mask) == (a.bits & b.bits).any());
  RC_ASSERT((a.mask == b.mask) == (a.bits == b.bits));
}

RC_GTEST_PROP(PageMask, runs_are_maximal_and_ordered, ()) {
  const Pair a = any_pair();
  Bits seen;
  std::uint32_t previous_end = 0;
  std::uint32_t runs = 0;
  a.mask.for_each_run([&](PageSpan run) {
    RC_ASSERT(run.count > 0u);
    RC_ASSERT(runs == 0 || run.first > previous_end);
    for (std::uint32_t page = run.first; page < run.end(); ++page) seen.set(page);
    previous_end = run.end();
    ++runs;
  });
  RC_ASSERT(seen == a.bits);
  RC_ASSERT(a.mask.run_count() == runs);
}

RC_GTEST_PROP(PageMask, the_hull_goes_from_the_first_run_to_the_last, ()) {
  const Pair a = any_pair();
  PageSpan hull = a.mask.next_run(0);
  a.mask.for_each_run([&hull](PageSpan run) { hull.count = run.end() - hull.first; });
  RC_ASSERT(a.mask.hull() == hull);
}

RC_GTEST_PROP(PageMask, next_run_begins_inside_a_run_too, ()) {
  const Pair a = any_pair();
  const auto from = *rc::gen::inRange<std::uint32_t>(0, 513);
  const PageSpan run = a.mask.next_run(from);
  std::uint32_t first = from;
  while (first < pages_per_block && !a.bits[first]) ++first;
  std::uint32_t end = first;
  while (end < pages_per_block && a.bits[end]) ++end;
  RC_ASSERT(run.count == end - first);
  RC_ASSERT(run.first == first);
}

TEST(PageMask, all_has_every_page_of_a_block) {
  EXPECT_EQ(PageMask::all().count(), pages_per_block);
  EXPECT_EQ(PageMask::all().run_count(), 1u);
  PageMask mask = PageMask::all();
  mask.clear();
  EXPECT_TRUE(mask.empty());
}

}  // namespace
}  // namespace sluice
