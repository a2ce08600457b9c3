// What the source does when Linux refuses: clear errors, nothing left behind, and it works again
// afterwards.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>

#include "fault/engine_threads.hpp"
#include "os/failing_calls.hpp"
#include "os/process_support.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

using os::Calls;
using os::FailingCalls;

class Nobody final : public Resolver {
 public:
  AddressSpan resolve(const AccessFault&) noexcept override { return {}; }
};

std::unique_ptr<os::HostMemory> make_memory() {
  return std::move(
      *os::HostMemory::create(std::move(*os::AddressWindow::reserve(window_size, window_size))));
}

TEST(FaultSource, none_is_a_grade_that_works) {
  World world({.source = {.best = Grade::none}});
  EXPECT_EQ(world.source->grade(), Grade::none);
  EXPECT_FALSE(world.source->can_share());
  const auto watched = world.source->watch(world.view);
  EXPECT_EQ(watched.error().code(), ErrorCode::unsupported);
  EXPECT_NE(watched.error().detail().find(world.source->reason()), std::string_view::npos);
  EXPECT_FALSE(world.source->grant(world.view, Access::read));
  world.word(0) = 1;  // plain host memory
  EXPECT_EQ(world.alias_word(0), 1U);
  EXPECT_EQ(world.faults(), 0);
}

TEST(FaultSource, a_machine_without_userfaultfd_gets_signals_with_the_reason) {
  const auto memory = make_memory();
  Nobody nobody;
  FailingCalls calls;
  calls.fail(&Calls::userfaultfd, 1, ENOSYS);
  const auto source = open_fault_source({.best = Grade::user}, *memory, nobody);
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->grade(), Grade::signal);
  EXPECT_NE((*source)->reason().find("ENOSYS"), std::string::npos) << (*source)->reason();
}

TEST(FaultSource, needs_two_handlers) {
  const auto memory = make_memory();
  Nobody nobody;
  EXPECT_EQ(open_fault_source({.handler_threads = 1}, *memory, nobody).error().code(),
            ErrorCode::invalid_argument);
}

TEST(FaultSource, grades_have_names) {
  EXPECT_EQ(to_string(Grade::none), "none");
  EXPECT_EQ(to_string(Grade::signal), "signal");
  EXPECT_EQ(to_string(Grade::user), "user");
  EXPECT_EQ(to_string(Grade::full), "full");
}

TEST(FaultSource, an_opening_that_fails_leaves_nothing) {
  const auto memory = make_memory();
  Nobody nobody;
  for (std::size_t kind = 0; kind < FailingCalls::kinds; ++kind) {
    if (FailingCalls::releases(kind)) continue;
    if (kind == FailingCalls::number(&Calls::write))
      continue;  // of an eventfd at zero: cannot fail, and stopping relies on that
    for (int nth = 1; nth < 12; ++nth) {
      const os::Holdings before = os::holdings();
      FailingCalls calls;
      calls.fail(kind, nth, EMFILE);
      {
        const auto source = open_fault_source({}, *memory, nobody);
        if (!source) {
          EXPECT_FALSE(source.error().detail().empty());
        }
      }
      EXPECT_EQ(os::holdings(), before) << "call " << nth << " of kind " << kind;
      if (calls.made(kind) < nth) break;
    }
  }
}

TEST(FaultSource, reaching_the_limit_of_descriptors_is_an_error) {
  const os::ChildEnd end = os::run_forked([] {
    const auto memory = make_memory();
    Nobody nobody;
    const rlimit none_left = {3, 3};
    if (::setrlimit(RLIMIT_NOFILE, &none_left) != 0) return 1;
    const auto source = open_fault_source({}, *memory, nobody);
    if (source) return 2;
    return source.error().code() == ErrorCode::out_of_host_memory &&
                   source.error().detail().find("ulimit -n") != std::string_view::npos
               ? 0
               : 3;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

class FailureTest : public ::testing::Test {
 protected:
  void SetUp() override { SLUICE_NEEDS_FAULTS(world); }
  World world;
};

TEST_F(FailureTest, every_refused_call_is_an_error_and_can_be_repeated) {
  if (world.source->grade() == Grade::signal)
    GTEST_SKIP() << "a test of userfaultfd; run it without SLUICE_TEST_GRADE=signal "
                    "(signal_source_test.cc has the other)";
  const AddressSpan span = world.pages(0, 64);
  {
    FailingCalls calls;
    calls.fail(&Calls::madvise, 1, EINVAL);
    EXPECT_EQ(world.source->revoke(span).error().code(), ErrorCode::system);
    calls.fail(&Calls::ioctl, 1, EINVAL);
    EXPECT_EQ(world.source->grant(span, Access::read).error().code(), ErrorCode::system);
    calls.fail(&Calls::mprotect, 1, ENOMEM);
    EXPECT_EQ(world.source->deny(span).error().code(), ErrorCode::out_of_host_memory);
    calls.fail(&Calls::mprotect, 1, ENOMEM);
    EXPECT_EQ(world.source->allow(span).error().code(), ErrorCode::out_of_host_memory);
    if (world.source->can_share()) {
      calls.fail(&Calls::ioctl, 1, EINVAL);
      EXPECT_EQ(world.source->downgrade(span).error().code(), ErrorCode::system);
    }
  }
  world.word(0) = 4;
  EXPECT_EQ(world.alias_word(0), 4U);
}

// A memory group at its limit refuses calls for a moment where a page fault would wait.
TEST_F(FailureTest, a_moment_without_memory_is_waited_out) {
  if (world.source->grade() == Grade::signal)
    GTEST_SKIP() << "a test of userfaultfd; run it without SLUICE_TEST_GRADE=signal "
                    "(signal_source_test.cc has the other)";
  FailingCalls calls;
  calls.fail(&Calls::madvise, 1, ENOMEM);  // filling the hole
  EXPECT_TRUE(world.source->grant(world.pages(0, 1), Access::write));
  calls.fail(&Calls::ioctl, 1, ENOMEM, 20);
  EXPECT_TRUE(world.source->grant(world.pages(1, 1), Access::write));
  if (world.source->can_share()) {
    calls.fail(&Calls::ioctl, 1, ENOMEM, 20);
    EXPECT_TRUE(world.source->downgrade(world.pages(1, 1)));
  }
  calls.fail(&Calls::ioctl, 1, ENOMEM, 20);
  EXPECT_TRUE(world.source->restore(world.pages(2, 1), world.pages(2, 1), Access::write));
}

TEST_F(FailureTest, an_exhausted_machine_is_an_error_and_no_signal) {
  if (world.source->grade() == Grade::signal)
    GTEST_SKIP() << "a test of userfaultfd; run it without SLUICE_TEST_GRADE=signal "
                    "(signal_source_test.cc has the other)";
  constexpr int forever = 1'000'000;
  FailingCalls calls;
  calls.fail(&Calls::ioctl, 1, ENOMEM, forever);
  const Result<void> granted = world.source->grant(world.pages(0, 1), Access::write);
  calls.fail(&Calls::ioctl, forever, 0);
  ASSERT_FALSE(granted);
  EXPECT_EQ(granted.error().code(), ErrorCode::out_of_host_memory);
  EXPECT_EQ(granted.error().detail().find("unmap"), std::string_view::npos);
  EXPECT_TRUE(world.source->grant(world.pages(0, 1), Access::write));
}

TEST_F(FailureTest, a_watch_that_fails_leaves_nothing_watched) {
  if (world.source->grade() == Grade::signal)
    GTEST_SKIP() << "a test of userfaultfd; run it without SLUICE_TEST_GRADE=signal "
                    "(signal_source_test.cc has the other)";
  world.source->unwatch(world.view);
  {
    FailingCalls calls;
    calls.fail(&Calls::madvise, 1, EINVAL);
    EXPECT_FALSE(world.source->watch(world.view));
    calls.fail(&Calls::ioctl, 1, ENOMEM);
    EXPECT_EQ(world.source->watch(world.view).error().code(), ErrorCode::out_of_host_memory);
  }
  expect_unwatched_and_watchable(world);
}

TEST_F(FailureTest, handlers_survive_interrupted_calls) {
  FailingCalls calls;
  for (int round = 0; round < 50; ++round) {
    calls.fail(&Calls::poll, 1, EINTR);
    calls.fail(&Calls::read, 1, EAGAIN);
    world.word(static_cast<std::size_t>(round)) = 1;
  }
  EXPECT_EQ(world.grant_errors, 0);
}

TEST_F(FailureTest, running_out_of_mappings_is_an_error) {
  if (os::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer's own allocator ends a program without mappings; the release "
                    "tree has this test";
  const os::ChildEnd end = os::run_forked([] {
    const auto memory = make_memory();
    // Alternating protections cannot merge.
    const std::size_t size = std::size_t{1} << 30;
    auto* const area = static_cast<std::byte*>(
        ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    std::size_t offset = 0;
    while (offset < size && ::mprotect(area + offset, page_size, PROT_READ) == 0)
      offset += 2 * page_size;
    if (offset >= size) return 77;
    const auto mapped =
        memory->map_view({memory->window().begin + block_size, block_size}, HostPages::small);
    ::munmap(area, size);
    if (mapped || mapped.error().code() != ErrorCode::out_of_host_memory) return 1;
    return memory->map_view({memory->window().begin + block_size, block_size}, HostPages::small)
               ? 0
               : 2;
  });
  if (end.exited_with(77))
    GTEST_SKIP() << "vm.max_map_count is too high to be reached; sysctl vm.max_map_count=65530";
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

}  // namespace
}  // namespace sluice::fault
