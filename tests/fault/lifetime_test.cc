// Ends and interruptions with faults pending: never a hang, never silent zeros. Each runs in a
// process of its own, started afresh (threadsafe death tests), with an alarm against hanging.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "fault/engine_threads.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

class LifetimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (os::inspect_fault_delivery().best == Grade::none)
      GTEST_SKIP() << os::inspect_fault_delivery().reason;
  }
};

[[noreturn]] void finish(bool good) { ::_exit(good ? 0 : 1); }

// A thread that touches page 0 and waits there.
std::thread start_waiting(World& world) {
  ::alarm(120);
  world.park = true;
  std::thread waiting([&world] { world.touch(0); });
  world.parked.acquire();
  return waiting;
}

void by_default(int signal) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
}

TEST_F(LifetimeTest, exit_with_a_fault_pending) {
  EXPECT_EXIT(
      {
        World world;
        std::thread waiting = start_waiting(world);
        ::_exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(LifetimeTest, exec_with_a_fault_pending) {
  EXPECT_EXIT(
      {
        World world;
        std::thread waiting = start_waiting(world);
        ::execl("/bin/sh", "sh", "-c",
                "test -z \"$(ls -l /proc/self/fd | grep -e userfaultfd -e memfd:sluice)\"",
                nullptr);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(LifetimeTest, a_kill_with_a_fault_pending) {
  EXPECT_EXIT(
      {
        World world;
        std::thread waiting = start_waiting(world);
        ::kill(::getpid(), SIGKILL);
      },
      ::testing::KilledBySignal(SIGKILL), "");
}

TEST_F(LifetimeTest, unwatch_lets_waiters_go) {
  EXPECT_EXIT(
      {
        World world;
        std::thread waiting = start_waiting(world);
        world.source->unwatch(world.view);
        waiting.join();
        finish(true);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(LifetimeTest, deny_kills_waiters) {
  EXPECT_EXIT(
      {
        by_default(SIGSEGV);
        World world;
        std::thread waiting = start_waiting(world);
        (void)world.source->deny(world.pages(0, 1));
        waiting.join();
      },
      ::testing::KilledBySignal(SIGSEGV), "");
}

thread_local sigjmp_buf out_of_access;
void jump_out(int) { siglongjmp(out_of_access, 1); }

TEST_F(LifetimeTest, unmap_with_a_fault_pending_is_an_ordinary_fault) {
  EXPECT_EXIT(
      {
        ::signal(SIGSEGV, jump_out);
        World world;
        std::atomic<bool> jumped = false;
        ::alarm(120);
        world.park = true;
        std::thread waiting([&] {
          if (sigsetjmp(out_of_access, 1) != 0)
            jumped = true;
          else
            world.touch(0);
        });
        world.parked.acquire();
        ::munmap(world.pointer(0), 2 * page_size);
        world.source->wake(world.pages(0, 2));
        waiting.join();
        world.park = false;
        world.word(2) = 1;  // the rest lives on
        finish(jumped && world.alias_word(2) == 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(LifetimeTest, a_forked_child_reaches_neither_the_file_nor_the_parents_rights) {
  World world;
  world.word(0) = 1;
  const os::ChildEnd end = os::run_forked([&world] {
    const auto refused = [](const auto& result) {
      return !result && result.error().code() == ErrorCode::unsupported;
    };
    world.source->unwatch(world.view);
    const bool all = refused(world.source->revoke(world.view)) &&
                     refused(world.source->grant(world.view, Access::write)) &&
                     refused(world.source->watch(world.view)) &&
                     refused(world.source->deny(world.view));
    world.source.reset();  // joins no thread: there is none
    return all ? 0 : 1;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
  world.forget_faults();
  world.word(0) = 2;
  EXPECT_EQ(world.faults(), 0);
  world.word(1) = 2;
  EXPECT_EQ(world.faults(), 1) << "the parent's view is still watched";
}

TEST_F(LifetimeTest, a_fork_with_a_fault_pending) {
  World world;
  std::thread waiting = start_waiting(world);
  const os::ChildEnd end = os::run_forked([&world] { return static_cast<int>(world.word(0)); });
  EXPECT_TRUE(end.killed_by(SIGSEGV)) << end.status;
  EXPECT_NE(end.output.find("not inherited by fork"), std::string::npos) << end.output;
  world.park = false;
  world.source->wake(world.view);
  waiting.join();
  ::alarm(0);
}

TEST_F(LifetimeTest, all_signals_may_be_blocked) {
  World world;
  std::thread thread([&world] {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
    for (std::size_t page = 0; page < 100; ++page) world.word(page) = page;
  });
  thread.join();
  for (std::size_t page = 0; page < 100; ++page) EXPECT_EQ(world.alias_word(page), page);
}

void abort_on_signal(int) { std::abort(); }

TEST_F(LifetimeTest, the_programs_segv_handler_is_never_called) {
  EXPECT_EXIT(
      {
        ::signal(SIGSEGV, abort_on_signal);
        ::signal(SIGBUS, abort_on_signal);
        World world;
        for (std::size_t page = 0; page < 100; ++page) world.word(page) = page;
        finish(world.alias_word(99) == 99);
      },
      ::testing::ExitedWithCode(0), "");
}

void do_nothing(int) {}

TEST_F(LifetimeTest, signals_interrupt_nothing) {
  World world;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = do_nothing;
  ::sigaction(SIGUSR1, &action, &before);
  world.park = true;
  std::uint64_t seen = 0;
  std::thread waiting([&] { seen = world.word(0); });
  world.parked.acquire();
  for (int i = 0; i < 100; ++i) ::pthread_kill(waiting.native_handle(), SIGUSR1);
  world.alias_word(0) = 9;
  world.park = false;
  while (!world.source->grant(world.pages(0, 1), Access::read)) {
  }
  world.source->wake(world.pages(0, 1));
  waiting.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(seen, 9U);
}

TEST_F(LifetimeTest, mlockall_locks_what_ranges_hold_and_no_more) {
  rlimit locked{};
  ::getrlimit(RLIMIT_MEMLOCK, &locked);
  if (::geteuid() != 0 && locked.rlim_cur != RLIM_INFINITY)
    GTEST_SKIP() << "the window does not fit the limit on locked memory (ulimit -l unlimited)";
  EXPECT_EXIT(
      {
        ::alarm(120);
        if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) finish(true);  // not permitted here
        World world;  // its window is a hundred times larger than its view
        world.word(0) = 5;
        const bool worked = world.source->revoke(world.view).has_value() && world.word(0) == 5 &&
                            world.faults() == 2;
        (void)::mlockall(
            MCL_CURRENT);  // the view becomes locked now, page by page through the resolver
        const bool still = world.source->revoke(world.view).has_value() && world.word(0) == 5;
        rusage usage = {};
        ::getrusage(RUSAGE_SELF, &usage);
        finish(worked && still && usage.ru_maxrss < (long{1} << 20));  // KiB
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(LifetimeTest, an_engine_thread_that_touches_managed_memory_aborts) {
  EXPECT_EXIT(
      {
        by_default(SIGABRT);
        World world;
        mark_engine_thread();
        world.word(0) = 1;
      },
      ::testing::KilledBySignal(SIGABRT), "bug: engine thread [0-9]+ touched managed memory at 0x");
}

TEST(EngineThreads, are_forgotten_when_they_end) {
  std::int32_t id = 0;
  bool known = false;
  std::thread([&] {
    id = ::gettid();
    mark_engine_thread();
    mark_engine_thread();
    known = is_engine_thread(id);
  }).join();
  EXPECT_TRUE(known);
  EXPECT_FALSE(is_engine_thread(id));
  EXPECT_FALSE(is_engine_thread(0));
  EXPECT_FALSE(is_engine_thread(-1));
  for (int round = 0; round < 2000; ++round)
    std::thread(mark_engine_thread).join();  // more than there are slots
  std::thread([&] {
    mark_engine_thread();
    known = is_engine_thread(::gettid());
  }).join();
  EXPECT_TRUE(known);
}

}  // namespace
}  // namespace sluice::fault
