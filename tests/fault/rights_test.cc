// Giving, lowering and taking rights, and what the program's accesses find.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/mman.h>

#include <thread>
#include <vector>

#include "os/machine.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

class RightsTest : public ::testing::Test {
 protected:
  void SetUp() override { SLUICE_NEEDS_FAULTS(world); }
  World world;
};

TEST_F(RightsTest, holes_read_as_zero) {
  EXPECT_EQ(world.word(0), 0U);
  EXPECT_EQ(world.reads, 1);
  world.word(1) = 5;
  EXPECT_EQ(world.alias_word(1), 5U);
}

TEST_F(RightsTest, names_the_faulting_thread) {
  world.word(0) = 1;
  EXPECT_EQ(world.last_thread, ::gettid());
}

TEST_F(RightsTest, a_read_leaves_stores_withheld) {
  if (!world.source->can_share())
    GTEST_SKIP()
        << "needs Linux 6.4 or later, which can give reads without writes; run on a newer kernel";
  world.alias_word(0) = 7;
  EXPECT_EQ(world.word(0), 7U);
  EXPECT_EQ(world.word(0), 7U);
  EXPECT_EQ(world.faults(), 1);
  world.word(0) = 8;
  EXPECT_EQ(world.writes, 1);
  world.word(0) = 9;
  EXPECT_EQ(world.faults(), 2);
  EXPECT_EQ(world.alias_word(0), 9U);
}

TEST_F(RightsTest, grant_is_idempotent_over_mixed_states) {
  for (const std::size_t count : {1U, 3U, 40U}) {  // the last is long enough to be mapped anew
    ASSERT_TRUE(world.source->revoke(world.view));
    ASSERT_TRUE(world.source->grant(world.pages(0, 1), Access::read));
    if (count > 2) {
      ASSERT_TRUE(world.source->grant(world.pages(2, 1), Access::write));
    }
    ASSERT_TRUE(world.source->grant(world.pages(0, count), Access::write));
    ASSERT_TRUE(world.source->grant(world.pages(0, count), Access::write));
    ASSERT_TRUE(world.source->grant(world.pages(0, count), Access::read));
    world.forget_faults();
    for (std::size_t page = 0; page < count; ++page) world.word(page) = page;
    EXPECT_EQ(world.faults(), 0) << count;
    for (std::size_t page = 0; page < count; ++page) EXPECT_EQ(world.alias_word(page), page);
  }
}

TEST_F(RightsTest, a_grant_crosses_whatever_split_the_mapping) {
  // In grade signal the kernel itself, which fills locked pages, finds what is there already and no
  // more.
  ASSERT_TRUE(world.source->grant(world.pages(0, 1), Access::write));
  ASSERT_EQ(::mlock(world.pointer(0), page_size), 0);
  (void)world.source->revoke(world.view);
  ASSERT_EQ(::mprotect(world.pointer(21), page_size, PROT_READ), 0);
  const auto granted = world.source->grant(world.pages(0, 64), Access::write);
  ASSERT_TRUE(granted) << granted.error().detail();
  world.forget_faults();
  for (const std::size_t page : {0U, 1U, 20U, 22U, 63U}) world.word(page) = 1;
  EXPECT_EQ(world.faults(), 0);
}

TEST_F(RightsTest, revoked_bytes_stay) {
  world.word(0) = 3;
  ASSERT_TRUE(world.source->revoke(world.pages(0, 1)));
  EXPECT_EQ(world.alias_word(0), 3U);
  world.forget_faults();
  EXPECT_EQ(world.word(0), 3U);
  EXPECT_EQ(world.reads, 1);
}

TEST_F(RightsTest, restoring_gives_what_is_gone_and_takes_nothing) {
  ASSERT_TRUE(world.source->grant(world.pages(0, 40), Access::write));
  for (std::size_t page = 0; page < 40; ++page) world.word(page) = page;
  ASSERT_EQ(::madvise(world.pointer(10), 10 * page_size, MADV_DONTNEED), 0);
  ASSERT_TRUE(world.source->restore(world.pages(12, 1), world.pages(0, 40), Access::write));
  world.forget_faults();
  for (std::size_t page = 0; page < 40; ++page) world.word(page) = world.word(page) + 1;
  EXPECT_EQ(world.faults(), 0);
  for (std::size_t page = 0; page < 40; ++page) EXPECT_EQ(world.alias_word(page), page + 1);
}

TEST_F(RightsTest, restoring_for_readers_withholds_stores) {
  if (!world.source->can_share())
    GTEST_SKIP()
        << "needs Linux 6.4 or later, which can give reads without writes; run on a newer kernel";
  ASSERT_TRUE(world.source->grant(world.pages(0, 8), Access::read));
  ASSERT_EQ(::madvise(world.pointer(0), 8 * page_size, MADV_DONTNEED), 0);
  ASSERT_TRUE(world.source->restore(world.pages(3, 1), world.pages(0, 8), Access::read));
  world.forget_faults();
  for (std::size_t page = 0; page < 8; ++page) world.touch(page);
  EXPECT_EQ(world.faults(), 0);
  for (std::size_t page = 0; page < 8; ++page) world.word(page) = 1;
  EXPECT_EQ(world.writes, 8);
}

TEST_F(RightsTest, one_resolution_wakes_all_waiters) {
  world.park = true;
  std::vector<std::thread> readers;
  std::atomic<std::uint64_t> sum{0};
  for (std::size_t i = 0; i < 8; ++i) readers.emplace_back([&, i] { sum += world.word(i % 4); });
  for (int i = 0; i < 8; ++i) world.parked.acquire();
  for (std::size_t page = 0; page < 4; ++page) world.alias_word(page) = 1;
  world.park = false;
  ASSERT_TRUE(world.source->grant(world.pages(0, 4), Access::read));
  world.source->wake(world.pages(0, 4));
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(sum, 8U);
}

TEST_F(RightsTest, refuses_spans_that_are_not_its_own) {
  const AddressSpan bad[] = {{world.view.begin, 0},
                             {world.view.begin + 1, page_size},
                             {world.view.begin, page_size + 1},
                             {{64 * page_size}, page_size},
                             {world.memory->window().end(), page_size},
                             {world.view.begin + page_size, ~std::size_t{0} - page_size + 1}};
  for (const AddressSpan& span : bad) {
    EXPECT_EQ(world.source->watch(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(world.source->grant(span, Access::read).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(world.source->downgrade(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(world.source->revoke(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(world.source->deny(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(world.source->allow(span).error().code(), ErrorCode::invalid_argument);
  }
}

TEST_F(RightsTest, a_view_that_the_program_unmapped_is_an_error) {
  ASSERT_EQ(::munmap(world.pointer(0), 4 * page_size), 0);
  EXPECT_EQ(world.source->grant(world.pages(0, 1), Access::read).error().code(),
            ErrorCode::unknown_address);
  EXPECT_EQ(world.source->grant(world.pages(0, 4), Access::write).error().code(),
            ErrorCode::unknown_address);
  // Where nobody has rights, page protection has nothing to take, and makes no call.
  const auto revoked = world.source->revoke(world.pages(0, 8));
  EXPECT_EQ(bool(revoked), world.source->grade() == Grade::signal);
  if (!revoked) {
    EXPECT_EQ(revoked.error().code(), ErrorCode::unknown_address);
  }
  EXPECT_FALSE(world.source->deny(world.pages(0, 1)));
  if (world.source->can_share() && world.source->grade() != Grade::signal) {
    EXPECT_EQ(world.source->downgrade(world.pages(0, 1)).error().code(),
              ErrorCode::unknown_address);
  }
  world.word(4) = 1;
  EXPECT_EQ(world.alias_word(4), 1U);
}

TEST_F(RightsTest, denied_bytes_come_back_without_rights) {
  world.word(0) = 5;
  ASSERT_TRUE(world.source->deny(world.pages(0, 2)));
  ASSERT_TRUE(world.source->allow(world.pages(0, 2)));
  world.forget_faults();
  EXPECT_EQ(world.word(0), 5U);
  EXPECT_EQ(world.faults(), 1);
}

TEST(Rights, on_huge_pages_are_given_in_blocks) {
  if (os::inspect_machine().huge_pages.pool_free < 4)
    GTEST_SKIP() << "the pool of huge pages is empty; sysctl vm.nr_hugepages=16 fills it";
  World world({.size = 4 * block_size, .pages = HostPages::huge});
  SLUICE_NEEDS_FAULTS(world);
  const AddressSpan first{world.view.begin, block_size};
  EXPECT_EQ(world.source->grant({first.begin, page_size}, Access::read).error().code(),
            ErrorCode::invalid_argument);
  EXPECT_EQ(world.word(5), 0U);
  EXPECT_EQ(world.word(6), 0U);
  EXPECT_EQ(world.faults(), 1);
  world.word(7) = 1;
  world.word(8) = 2;
  EXPECT_EQ(world.writes, world.source->can_share() ? 1 : 0);
  ASSERT_TRUE(world.source->revoke(first));
  EXPECT_EQ(world.alias_word(7), 1U);
  world.forget_faults();
  EXPECT_EQ(world.word(8), 2U);
  EXPECT_EQ(world.faults(), 1);
  world.word(3 * pages_per_block) = 4;
  EXPECT_EQ(world.grant_errors, 0);
}

TEST(Rights, on_transparent_pages_are_given_in_pages) {
  World world({.pages = HostPages::transparent});
  if (!world.memory->no_private_tmpfs().empty() && !os::transparent_shared_pages())
    GTEST_SKIP() << "memory files have no huge pages; echo advise > "
                    "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  SLUICE_NEEDS_FAULTS(world);
  world.word(0) = 1;
  world.word(1) = 2;
  EXPECT_EQ(world.faults(), 2);
  ASSERT_TRUE(world.source->revoke(world.pages(0, 1)));
  world.word(1) = 3;
  EXPECT_EQ(world.faults(), 2);
  EXPECT_EQ(world.word(0), 1U);
}

// What a sequence of operations should leave, page by page.
struct Model {
  static constexpr std::size_t pages = 12;
  Rights rights[pages] = {};
  std::uint64_t value[pages] = {};
};

struct Step {
  int operation;
  std::size_t first;
  std::size_t count;
};

// Checks one access of the program against the model: it faults exactly if it has no right to go
// on.
void touch(World& world, Model& model, std::size_t page, Access access) {
  world.forget_faults();
  if (access == Access::write) world.word(page) = ++model.value[page];
  const std::uint64_t seen = access == Access::read ? world.word(page) : world.alias_word(page);
  RC_ASSERT(seen == model.value[page]);
  RC_ASSERT((world.faults() != 0) == !allows(model.rights[page], access));
  if (access == Access::write || !world.source->can_share())
    model.rights[page] = Rights::write;
  else if (model.rights[page] == Rights::none)
    model.rights[page] = Rights::read;
}

void apply(World& world, Model& model, const Step& step) {
  const AddressSpan span = world.pages(step.first, step.count);
  const bool share = world.source->can_share();
  const auto each = [&](auto&& change) {
    for (std::size_t page = step.first; page < step.first + step.count; ++page) change(page);
  };
  switch (step.operation) {
    case 0:
      return touch(world, model, step.first, Access::read);
    case 1:
      return touch(world, model, step.first, Access::write);
    case 2:
      RC_ASSERT(world.source->grant(span, Access::read).has_value());
      return each([&](std::size_t page) {
        model.rights[page] = std::max(model.rights[page], share ? Rights::read : Rights::write);
      });
    case 3:
      RC_ASSERT(world.source->grant(span, Access::write).has_value());
      return each([&](std::size_t page) { model.rights[page] = Rights::write; });
    case 4:
      RC_ASSERT(world.source->downgrade(span).has_value() == share);
      return each([&](std::size_t page) {
        if (share) model.rights[page] = std::min(model.rights[page], Rights::read);
      });
    case 5:
      RC_ASSERT(world.source->revoke(span).has_value());
      return each([&](std::size_t page) { model.rights[page] = Rights::none; });
    default:
      RC_ASSERT(world.memory->discard(span).has_value());
      return each([&](std::size_t page) {
        // Page protection outlives the pages.
        if (world.source->grade() != Grade::signal) model.rights[page] = Rights::none;
        model.value[page] = 0;
      });
  }
}

RC_GTEST_PROP(RightsProperty, accesses_fault_exactly_where_the_model_says, ()) {
  static World world;
  if (world.source->grade() == Grade::none) return;
  RC_ASSERT(world.source->revoke(world.view).has_value());
  RC_ASSERT(world.memory->discard(world.view).has_value());
  Model model;
  const auto steps = *rc::gen::container<std::vector<std::tuple<int, std::size_t, std::size_t>>>(
      rc::gen::tuple(rc::gen::inRange(0, 7), rc::gen::inRange<std::size_t>(0, Model::pages),
                     rc::gen::inRange<std::size_t>(1, Model::pages + 1)));
  for (const auto& [operation, first, count] : steps)
    apply(world, model, {operation, first, std::min(count, Model::pages - first)});
  for (std::size_t page = 0; page < Model::pages; ++page) {
    touch(world, model, page, Access::read);
    touch(world, model, page, Access::write);
  }
}

}  // namespace
}  // namespace sluice::fault
