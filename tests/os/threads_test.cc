#include "os/threads.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cerrno>
#include <string>

#include "os/failing_calls.hpp"

namespace sluice::os {
namespace {

TEST(Thread, runs_named_and_with_all_signals_blocked) {
  std::string name(16, '\0');
  sigset_t blocked;
  {
    auto thread = Thread::start("sluice-with-a-long-name", [&] {
      ::pthread_getname_np(::pthread_self(), name.data(), name.size());
      ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    });
    ASSERT_TRUE(thread) << thread.error().detail();
  }
  EXPECT_STREQ(name.c_str(), "sluice-with-a-l");
  for (const int signal : {SIGSEGV, SIGBUS, SIGTERM, SIGALRM, SIGRTMIN})
    EXPECT_EQ(::sigismember(&blocked, signal), 1) << signal;
}

TEST(Thread, leaves_the_mask_of_its_maker_alone) {
  sigset_t before;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  auto thread = Thread::start("sluice-test", [] {});
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMAX; ++signal)
    EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal));
}

TEST(Thread, says_when_there_is_none_left) {
  FailingCalls calls;
  calls.fail(&Calls::create_thread, 1, EAGAIN);
  bool ran = false;
  const auto thread = Thread::start("sluice-test", [&] { ran = true; });
  ASSERT_FALSE(thread);
  EXPECT_EQ(thread.error().code(), ErrorCode::out_of_host_memory);
  EXPECT_NE(thread.error().detail().find("ulimit -u"), std::string_view::npos);
  EXPECT_FALSE(ran);
}

TEST(Thread, can_be_replaced_and_joined_twice) {
  int runs = 0;
  Thread thread = Thread::start("sluice-test", [&] { ++runs; }).value();
  thread.join();
  thread.join();
  thread = Thread::start("sluice-test", [&] { ++runs; }).value();
  thread.join();
  EXPECT_EQ(runs, 2);
}

// More than the stack of our threads; Fortran programs with OpenMP have megabytes.
thread_local std::array<char, 1 << 20> programs_own{};

TEST(Thread, has_its_stack_beside_the_thread_local_variables_of_the_program) {
  int sum = 0;
  auto thread = Thread::start("sluice-test", [&] {
    std::array<volatile char, 256 << 10> used;
    for (std::size_t i = 0; i < used.size(); i += 4096) used[i] = 1;
    programs_own.back() = 1;
    sum = used[0] + programs_own.back();
  });
  ASSERT_TRUE(thread) << thread.error().detail();
  thread->join();
  EXPECT_EQ(sum, 2);
}

}  // namespace
}  // namespace sluice::os
