#include "os/fork_guard.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstdlib>

#include "os/host_memory.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

constexpr std::size_t whole_window = std::size_t{4} << 30;

class ForkGuardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto window = AddressWindow::reserve(whole_window, whole_window);
    ASSERT_TRUE(window);
    auto made = HostMemory::create(std::move(*window));
    ASSERT_TRUE(made);
    memory = std::move(*made);
    span = {memory->window().begin + block_size, block_size};
    ASSERT_TRUE(memory->map_view(span, HostPages::small));
    *pointer() = 42;
  }
  [[nodiscard]] volatile int* pointer() const {
    return reinterpret_cast<volatile int*>(span.begin.value);
  }

  std::unique_ptr<HostMemory> memory;
  AddressSpan span;
};

constexpr const char* explanation =
    "in a forked child: managed memory is not inherited by fork; see docs/host-side.md\n";

TEST_F(ForkGuardTest, a_child_that_touches_managed_memory_dies_with_an_explanation) {
  const ChildEnd end = run_forked([this] { return *pointer(); });
  EXPECT_TRUE(end.killed_by(SIGSEGV)) << end.status;
  EXPECT_NE(end.output.find(explanation), std::string::npos) << end.output;
  char address[32];
  std::snprintf(address, sizeof address, "0x%016zx", static_cast<std::size_t>(span.begin.value));
  EXPECT_NE(end.output.find(address), std::string::npos) << end.output;
  EXPECT_EQ(*pointer(), 42);
}

TEST_F(ForkGuardTest, the_whole_window_is_closed_and_named) {
  const ChildEnd end = run_forked([this] {
    const std::string first = mapping_at(pointer_for_call(memory->window().begin));
    const std::string last = mapping_at(pointer_for_call(memory->window().end() - 1));
    if (first != last || first.find("---p") == std::string::npos) return 1;
    return mappings_have_names() && first.find("sluice: not inherited by fork") == std::string::npos
               ? 2
               : 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.output;
}

TEST_F(ForkGuardTest, other_faults_in_the_child_die_natively) {
  // The compiler must not see that the address is wild.
  static volatile std::uintptr_t wild = 64;
  const ChildEnd end = run_forked([] { return *reinterpret_cast<volatile int*>(wild); });
  EXPECT_TRUE(end.killed_by(SIGSEGV)) << end.status;
  EXPECT_EQ(end.output, "");
}

TEST_F(ForkGuardTest, a_sent_signal_kills_the_child_natively) {
  const ChildEnd end = run_forked([] {
    ::kill(::getpid(), SIGSEGV);
    return 0;
  });
  EXPECT_TRUE(end.killed_by(SIGSEGV)) << end.status;
  EXPECT_EQ(end.output, "");
}

void exit_with_7(int) { ::_exit(7); }

TEST_F(ForkGuardTest, a_handler_of_the_program_is_left_alone) {
  struct sigaction before = {};
  struct sigaction own = {};
  own.sa_handler = exit_with_7;
  const ChildEnd end = run_forked([&] {
    ::sigaction(SIGSEGV, &own, &before);
    return run_forked([&] {  // has the default again, so the program's handler is set here
             ::sigaction(SIGSEGV, &own, nullptr);
             return *pointer();
           })
                   .exited_with(7)
               ? 0
               : 1;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

TEST_F(ForkGuardTest, spawned_programs_are_not_affected) {
  EXPECT_EQ(std::system("true"), 0);
  EXPECT_EQ(*pointer(), 42);
}

TEST_F(ForkGuardTest, a_raw_fork_finds_no_bytes_either) {
  const pid_t child = static_cast<pid_t>(::syscall(SYS_fork));
  if (child == 0) {
    struct sigaction by_default = {};
    by_default.sa_handler = SIG_DFL;
    ::sigaction(SIGSEGV, &by_default, nullptr);
    ::_exit(*pointer());
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
}

TEST_F(ForkGuardTest, in_the_child_nothing_can_be_done_to_the_parents_memory) {
  const ChildEnd end = run_forked([this] {
    const auto refused = [](const auto& result) {
      return !result && result.error().code() == ErrorCode::unsupported;
    };
    const bool all = refused(memory->map_view(span, HostPages::small)) &&
                     refused(memory->discard(span)) && refused(memory->populate(span)) &&
                     refused(memory->unmap_view(span));
    memory.reset();  // and its destruction does not reach over either
    return all ? 0 : 1;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.output;
  EXPECT_EQ(*pointer(), 42);
}

TEST(ProcessMark, tells_children_and_grandchildren_from_their_parents) {
  const ProcessMark mark;
  EXPECT_FALSE(mark.inherited());
  EXPECT_FALSE(in_forked_child());
  const ChildEnd end = run_forked([&] {
    if (!mark.inherited() || !in_forked_child()) return 1;
    const ProcessMark own;
    if (own.inherited()) return 2;
    return run_forked([&] {
             return mark.inherited() && own.inherited() && in_forked_child() ? 0 : 3;
           }).exited_with(0)
               ? 0
               : 4;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(ProcessMark, also_knows_children_of_a_raw_fork) {
  const ProcessMark mark;
  const pid_t child = static_cast<pid_t>(::syscall(SYS_fork));
  if (child == 0) ::_exit(mark.inherited() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ForkGuard, there_is_a_limit_and_it_is_an_error) {
  std::vector<ForkGuard> guards;
  for (int i = 0; i < 65; ++i) {
    auto guard = ForkGuard::over({{(i + std::size_t{1}) << 40}, 0});
    if (!guard) {
      EXPECT_EQ(guard.error().code(), ErrorCode::out_of_host_memory);
      EXPECT_EQ(guards.size(), 64U);
      return;
    }
    guards.push_back(std::move(*guard));
  }
  FAIL() << "no limit";
}

TEST(ForkGuard, a_child_may_have_a_space_of_its_own) {
  const ChildEnd end = run_forked([] {
    auto window = AddressWindow::reserve(whole_window, whole_window);
    if (!window) return 1;
    auto memory = HostMemory::create(std::move(*window));
    if (!memory) return 2;
    const AddressSpan span{(*memory)->window().begin, block_size};
    if (!(*memory)->map_view(span, HostPages::small)) return 3;
    *reinterpret_cast<volatile int*>(span.begin.value) = 5;
    return *reinterpret_cast<int*>((*memory)->alias(span.begin)) == 5 ? 0 : 4;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

}  // namespace
}  // namespace sluice::os
