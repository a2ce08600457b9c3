// Calls that meet a failed allocation: each is made again and again, with its first, second, ...
// allocation failing, until none fails.
//
// tests/fuzz/allocation_failures.cc does that to whole programs and on all threads; here the
// ghost_lists are looked at after each failure.
#include <new>
#include <optional>
#include <span>
#include <vector>

#include "allocations.hpp"
#include "engine/mappings.hpp"
#include "engine_rig.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t block = 2 * mib;

class NoMemory : public EngineTest {
 protected:
  void open_with_few_blocks() {
    SpaceOptions options = small_devices(2);
    options.device_budget = 2 * block;
    options.overflow = Overflow::refuse;
    options.stop_interval = std::chrono::milliseconds(1);
    open(options);
    // So that what comes to device 0 makes something leave.
    other_ = words(2 * block);
    words_ = words(block);
  }
  // `act` on the calling thread; after each failure `look` looks at what is left, and puts it where
  // it was.
  template <typename Act, typename Look>
  void fail_each_allocation(Act&& act, Look&& look) {
    int failures = 0;
    for (bool failed = true; failed; failures += failed ? 1 : 0) {
      expect_done(fill(0, other_, 2 * block, 5));
      failed = false;
      {
        const AtEachAllocation each([&, left = failures]() mutable {
          if (left-- != 0) return;
          failed = true;
          throw std::bad_alloc();
        });
        try {
          act();
        } catch (const std::bad_alloc&) {
        }
      }
      look();
      ASSERT_EQ(engine->check(), std::nullopt);
      ASSERT_EQ(other_[7], 5U);
    }
    EXPECT_GT(failures, 2);
  }

  std::uint32_t* words_ = nullptr;
  std::uint32_t* other_ = nullptr;
};

TEST_F(NoMemory, in_a_lease_leaves_nothing_leased) {
  open_with_few_blocks();
  words_[3] = 42;
  std::optional<LeaseId> leased;
  fail_each_allocation(
      [&] {
        if (const auto lease =
                engine->lease(span(words_, block), Location::device(0), Access::write))
          leased = *lease;
      },
      [&] {
        if (leased) engine->end_lease(*leased);
        leased.reset();
        // A lease that is left would refuse both.
        const auto evicted = engine->evict(span(words_, block), 0);
        ASSERT_TRUE(evicted) << evicted.error().detail();
        ASSERT_EQ(words_[3], 42U);
        const auto discarded = engine->discard(span(words_, block));
        ASSERT_TRUE(discarded) << discarded.error().detail();
        words_[3] = 42;
      });
}

TEST_F(NoMemory, in_a_launch_leaves_its_bytes_right_and_free) {
  open_with_few_blocks();
  std::uint32_t value = 0;
  fail_each_allocation(
      [&] {
        if (const auto fence = fill(0, words_, block, value)) expect_done(fence);
      },
      [&] {
        // It ran, or it did not: whole, and the same launch made again is in nobody's way.
        ASSERT_TRUE(words_[0] == words_[block / 4 - 1]);
        expect_done(fill(0, words_, block, ++value));
        ASSERT_EQ(words_[9], value);
      });
}

TEST_F(NoMemory, in_a_relocation_loses_no_byte_and_no_mapping) {
  open_with_few_blocks();
  const int other_device = 0;
  const auto base = engine->mappings().allocate(block, Kind::device, 1, std::span(&other_device, 1),
                                                Access::write);
  ASSERT_TRUE(base) << base.error().detail();
  auto* const mapped = reinterpret_cast<std::uint32_t*>(base->value);
  std::uint32_t value = 1;
  expect_done(fill(0, mapped, block, value));
  std::vector<std::uint32_t> found(block / 4);
  fail_each_allocation(
      [&] {
        MappingReport report;
        (void)engine->relocate(span(mapped, block), Location::host(), report);
      },
      [&] {
        ASSERT_TRUE(engine->copy(found.data(), mapped, block));
        ASSERT_TRUE(found.front() == value && found.back() == value);
        // Both devices still reach it, wherever it is.
        for (const int device : {0, 1}) expect_done(fill(device, mapped, block, ++value));
        MappingReport report;
        const auto back = engine->relocate(span(mapped, block), Location::device(1), report);
        ASSERT_TRUE(back) << back.error().detail();
      });
}

}  // namespace
}  // namespace sluice::engine
