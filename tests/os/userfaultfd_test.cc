#include "os/userfaultfd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "os/failing_calls.hpp"
#include "os/host_memory.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

TEST(Userfaultfd, opens_close_on_exec_and_non_blocking) {
  const auto opened = Userfaultfd::open(Grade::full);
  if (!opened) GTEST_SKIP() << opened.error().detail();
  EXPECT_NE(::fcntl(opened->file(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(opened->file(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(opened->grade() == Grade::full, opened->reason().empty());
}

TEST(Userfaultfd, can_be_limited_to_user_accesses) {
  const auto opened = Userfaultfd::open(Grade::user);
  if (!opened) GTEST_SKIP() << opened.error().detail();
  EXPECT_EQ(opened->grade(), Grade::user);
  EXPECT_FALSE(opened->reason().empty());
}

TEST(Userfaultfd, falls_from_the_device_to_the_call_to_user_mode) {
  if (inspect_fault_delivery().best != Grade::full)
    GTEST_SKIP() << "not permitted here; sysctl vm.unprivileged_userfaultfd=1, or run as root";
  FailingCalls calls;
  calls.fail(&Calls::open, 1, EACCES);
  calls.fail(&Calls::userfaultfd, 1, EPERM);  // for the descriptor that asks
  EXPECT_EQ(Userfaultfd::open(Grade::full).value().grade(), Grade::full);
}

TEST(Userfaultfd, says_why_there_is_none) {
  FailingCalls calls;
  calls.fail(&Calls::userfaultfd, 1, ENOSYS);
  const auto opened = Userfaultfd::open(Grade::user);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), ErrorCode::unsupported);
  EXPECT_NE(opened.error().detail().find("Remedy"), std::string_view::npos);
}

TEST(Userfaultfd, a_failure_at_any_step_leaves_nothing_open) {
  for (std::size_t kind = 0; kind < FailingCalls::kinds; ++kind) {
    if (FailingCalls::releases(kind)) continue;
    for (int nth = 1;; ++nth) {
      const Holdings before = holdings();
      FailingCalls calls;
      calls.fail(kind, nth, EMFILE);
      {
        const auto opened = Userfaultfd::open(Grade::full);
        if (!opened) {
          EXPECT_FALSE(opened.error().detail().empty());
        }
      }
      EXPECT_EQ(holdings(), before) << "call " << nth << " of kind " << kind;
      if (calls.made(kind) < nth) break;
    }
  }
}

class UserfaultfdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Userfaultfd::open(Grade::full);
    if (!opened) GTEST_SKIP() << opened.error().detail();
    userfaultfd = std::make_unique<Userfaultfd>(std::move(*opened));
    auto window = AddressWindow::reserve(std::size_t{4} << 30, std::size_t{4} << 30);
    ASSERT_TRUE(window);
    auto made = HostMemory::create(std::move(*window));
    ASSERT_TRUE(made);
    memory = std::move(*made);
    view = {memory->window().begin, 4 * page_size};
    ASSERT_TRUE(memory->map_view(view, HostPages::small));
  }

  std::unique_ptr<HostMemory> memory;
  std::unique_ptr<Userfaultfd> userfaultfd;
  AddressSpan view;
};

TEST_F(UserfaultfdTest, tells_holes_mapped_pages_and_foreign_spans_apart) {
  ASSERT_TRUE(userfaultfd->add(view));
  EXPECT_EQ(userfaultfd->map_existing(view, false).error, EFAULT);
  ASSERT_TRUE(memory->populate({view.begin, 2 * page_size}));
  const Userfaultfd::Progress partial = userfaultfd->map_existing(view, false);
  EXPECT_EQ(partial.done, 2 * page_size);
  EXPECT_NE(partial.error, 0);
  EXPECT_EQ(userfaultfd->map_existing({view.begin, page_size}, false).error, EEXIST);
  EXPECT_EQ(userfaultfd->map_existing({view.end(), page_size}, false).error, ENOENT);
  userfaultfd->remove(view);
}

TEST_F(UserfaultfdTest, a_second_watcher_is_refused_by_name) {
  ASSERT_TRUE(userfaultfd->add(view));
  const auto second = Userfaultfd::open(Grade::full);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->add(view).error().code(), ErrorCode::busy);
}

TEST_F(UserfaultfdTest, reads_nothing_when_nothing_is_pending) {
  uffd_msg messages[4];
  EXPECT_EQ(userfaultfd->read(messages).count, 0U);
}

}  // namespace
}  // namespace sluice::os
