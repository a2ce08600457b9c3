#include "os/machine.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "os/failing_calls.hpp"

namespace sluice::os {
namespace {

TEST(Machine, knows_what_every_linux_has) {
  const Machine machine = inspect_machine();
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_GE(machine.cpus, 1);
  EXPECT_GT(machine.memory.total, machine.memory.available);
  EXPECT_GT(machine.memory.available, 0U);
  EXPECT_GT(machine.limits.open_files, 0U);
  EXPECT_GT(machine.limits.mappings, machine.limits.mappings_in_use);
  EXPECT_GT(machine.limits.mappings_in_use, 0U);
}

TEST(Machine, gives_a_reason_for_every_grade_below_full) {
  const FaultDelivery faults = inspect_fault_delivery();
  EXPECT_EQ(faults.best == Grade::full, faults.reason.empty());
}

TEST(Machine, reports_a_machine_without_userfaultfd) {
  FailingCalls calls;
  calls.fail(&Calls::open, 1, ENOENT);
  calls.fail(&Calls::userfaultfd, 1, ENOSYS);
  const FaultDelivery faults = inspect_fault_delivery();
  EXPECT_NE(faults.best, Grade::none) << "the second attempt, in user mode, still worked";
  // An ordinary user has no way but the one that is left here.
  if (::access("/dev/userfaultfd", R_OK | W_OK) != 0) return;
  calls.fail(&Calls::ioctl, 1, EPERM);
  calls.fail(&Calls::userfaultfd, 1, ENOSYS);
  EXPECT_FALSE(inspect_fault_delivery().best == Grade::none);
}

void handler_of_the_program(int) {}

TEST(Machine, tells_who_owns_segv) {
  struct sigaction before = {};
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGSEGV, &action, &before);
  EXPECT_EQ(inspect_machine().segv.action, "default");
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGSEGV, &action, nullptr);
  EXPECT_EQ(inspect_machine().segv.action, "ignored");
  action.sa_handler = handler_of_the_program;
  ::sigaction(SIGSEGV, &action, nullptr);
  const SegvOwner owner = inspect_machine().segv;
  ::sigaction(SIGSEGV, &before, nullptr);
  EXPECT_EQ(owner.action, "handler");
  EXPECT_NE(owner.handler, nullptr);
  EXPECT_NE(owner.library.find("os_test"), std::string::npos) << owner.library;
}

}  // namespace
}  // namespace sluice::os
