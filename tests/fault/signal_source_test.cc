// What is particular to grade `signal`: errors of mprotect, the bound on mappings, other people's
// SIGSEGV, small stacks.
#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "fault/protected_view.hpp"
#include "os/failing_calls.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

using os::Calls;
using os::FailingCalls;

World::Options by_signal(std::size_t size = 16 * block_size, bool on_device = false) {
  return {.size = size, .source = {.best = Grade::signal}, .on_device = on_device};
}

class SignalSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer stands in front of SIGSEGV itself; run it in a tree without one";
#endif
    if (world.source->grade() != Grade::signal) GTEST_SKIP() << world.source->reason();
  }
  World world{by_signal()};
};

TEST_F(SignalSourceTest, every_refused_call_is_an_error_and_can_be_repeated) {
  const AddressSpan span = world.pages(0, 64);
  FaultSource& source = *world.source;
  {
    FailingCalls calls;
    calls.fail(&Calls::mprotect, 1, EINVAL);
    EXPECT_EQ(source.grant(span, Access::write).error().code(), ErrorCode::system);
    const std::function<Result<void>()> changes[] = {[&] { return source.downgrade(span); },
                                                     [&] { return source.revoke(span); },
                                                     [&] { return source.deny(span); }};
    for (const auto& change : changes) {
      ASSERT_TRUE(source.revoke(span));
      ASSERT_TRUE(source.grant(span, Access::write));
      calls.fail(&Calls::mprotect, 1, EINVAL);
      EXPECT_EQ(change().error().code(), ErrorCode::system);
      world.forget_faults();
      world.word(5) = 4;
      EXPECT_EQ(world.faults(), 0) << "a refused call has changed nothing";
    }
  }
  EXPECT_EQ(world.alias_word(5), 4U);
}

TEST_F(SignalSourceTest, a_watch_that_fails_leaves_nothing_watched) {
  world.source->unwatch(world.view);
  {
    FailingCalls calls;
    calls.fail(&Calls::mprotect, 1, EINVAL);
    EXPECT_FALSE(world.source->watch(world.view));
  }
  expect_unwatched_and_watchable(world);
}

TEST_F(SignalSourceTest, a_mapping_too_many_is_made_room_for) {
  for (std::size_t page = 0; page < 40; page += 2) world.word(page) = page;  // borders to give up
  FailingCalls calls;
  calls.fail(&Calls::mprotect, 1, ENOMEM);
  EXPECT_TRUE(world.source->grant(world.pages(600, 1), Access::write));
  world.forget_faults();
  for (std::size_t page = 0; page < 40; page += 2) EXPECT_EQ(world.word(page), page);
  EXPECT_EQ(world.faults(), 0) << "the rights stood, though their protection was taken back";
}

// The engine gives no right that it has given already, so the access itself must find the room.
TEST_F(SignalSourceTest, a_mapping_too_many_is_made_room_for_at_an_access) {
  constexpr std::size_t other = pages_per_block;
  for (std::size_t page = 0; page < 40; page += 2) world.word(page) = page;
  for (std::size_t page = 0; page < 40; page += 2) world.word(other + page) = page;
  {
    FailingCalls calls;
    calls.fail(&Calls::mprotect, 1, ENOMEM);  // takes the first block's protection back
    EXPECT_TRUE(world.source->grant(world.pages(3 * pages_per_block, 1), Access::write));
  }
  world.forget_faults();
  FailingCalls calls;
  calls.fail(&Calls::mprotect, 1, ENOMEM);
  EXPECT_EQ(world.word(0), 0U);
  EXPECT_GT(calls.made(&Calls::mprotect), 2) << "refused, made room, given";
  EXPECT_EQ(world.faults(), 0);
}

TEST(ProtectedView, borders_stay_within_their_limit_and_rights_stay_exact) {
  const auto memory = std::move(
      *os::HostMemory::create(std::move(*os::AddressWindow::reserve(window_size, window_size))));
  const AddressSpan view{memory->window().begin, 32 * block_size};
  ASSERT_TRUE(memory->map_view(view, HostPages::small));
  const auto rights = std::move(*ProtectedView::create(*memory, 200));
  ASSERT_TRUE(rights->watch(view));
  const std::size_t pages = view.size / page_size;
  const auto page = [&](std::size_t i) {
    return AddressSpan{view.begin + i * page_size, page_size};
  };
  // Every other page: natively a border each.
  for (std::size_t i = 0; i < pages; i += 2) {
    ASSERT_TRUE(rights->grant(page(i), Access::read));
    // The last call may go over by what it adds itself.
    ASSERT_LE(rights->borders(), rights->border_limit() + 2);
  }
  using StandResult = ProtectedView::StandResult;
  for (std::size_t i = 0; i < pages; ++i) {
    EXPECT_EQ(rights->stand(page(i).begin, Access::read, true),
              i % 2 == 0 ? StandResult::given : StandResult::lacking);
    EXPECT_EQ(rights->stand(page(i).begin, Access::write, true), StandResult::lacking);
    ASSERT_LE(rights->borders(), rights->border_limit() + 32);
  }
  rights->unwatch(view);
}

std::size_t mappings_now() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

// Without a bound: one mapping for each page that was touched, and one between, is more than Linux
// allows.
TEST(SignalSource, more_borders_than_mappings_are_no_error) {
  constexpr std::size_t size = std::size_t{1} << 29;
  const auto memory = std::move(
      *os::HostMemory::create(std::move(*os::AddressWindow::reserve(window_size, window_size))));
  const AddressSpan view{memory->window().begin, size};
  ASSERT_TRUE(memory->map_view(view, HostPages::small));
  const os::MappingLimit limit = os::inspect_mapping_limit();
  if (limit.most > size / page_size)
    GTEST_SKIP() << "vm.max_map_count is too high to be reached; sysctl vm.max_map_count=65530";
  const auto rights = std::move(*ProtectedView::create(*memory, limit.most - limit.in_use));
  ASSERT_TRUE(rights->watch(view));
  for (std::size_t offset = 0; offset < size; offset += 2 * page_size)
    ASSERT_TRUE(rights->grant({view.begin + offset, page_size}, Access::write));
  EXPECT_LT(mappings_now(), limit.most);
  rights->unwatch(view);
}

// A handler that was there before is called as the kernel would have called it.
volatile std::uintptr_t seen_address;
volatile int seen_code;
thread_local sigjmp_buf way_out;
void note_and_leave(int, siginfo_t* info, void*) {
  seen_address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  seen_code = info->si_code;
  siglongjmp(way_out, 1);
}

[[noreturn]] void a_wild_access_reaches_an_earlier_handler() {
  struct sigaction action = {};
  action.sa_sigaction = note_and_leave;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
  World world(by_signal());
  void* const wild = ::mmap(nullptr, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (sigsetjmp(way_out, 1) == 0) *static_cast<volatile int*>(wild) = 1;
  static volatile bool first = false;  // not lost by the jump
  first = seen_address == reinterpret_cast<std::uintptr_t>(wild) && seen_code == SEGV_ACCERR;
  world.word(3) = 3;
  if (sigsetjmp(way_out, 1) == 0) ::raise(SIGSEGV);
  ::_exit(first && seen_code == SI_TKILL && world.alias_word(3) == 3 && world.faults() == 1 ? 0
                                                                                            : 1);
}

[[noreturn]] void a_wild_access_dies() {
  ::signal(SIGSEGV, SIG_DFL);
  World world(by_signal());
  world.word(3) = 3;
  *static_cast<volatile int*>(
      ::mmap(nullptr, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) = 1;
  ::_exit(0);
}

[[noreturn]] void touch_on_a_small_alternate_stack() {
  static char small[16384];
  const stack_t stack{.ss_sp = small, .ss_flags = 0, .ss_size = sizeof small};
  ::sigaltstack(&stack, nullptr);
  World world(by_signal());
  for (std::size_t page = 0; page < 100; ++page) world.word(page) = page;
  ::_exit(world.alias_word(99) == 99 ? 0 : 1);
}

TEST_F(SignalSourceTest, a_wild_access_reaches_an_earlier_handler) {
  EXPECT_EXIT(a_wild_access_reaches_an_earlier_handler(), ::testing::ExitedWithCode(0), "");
}
TEST_F(SignalSourceTest, a_wild_access_dies_of_it) {
  EXPECT_EXIT(a_wild_access_dies(), ::testing::KilledBySignal(SIGSEGV), "");
}
TEST_F(SignalSourceTest, small_alternate_stacks_are_enough) {
  EXPECT_EXIT(touch_on_a_small_alternate_stack(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace sluice::fault
