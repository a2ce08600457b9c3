// Forked children of a program under chaos. See stress/chaos/trouble.hpp.
//
// They are made while other threads launch, copy and wait. Some end at once, some become another
// program, some live on, even longer than the program, and some break a rule for children: they
// touch managed memory, which they do not inherit (docs/host-side.md).

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "stress/chaos/trouble.hpp"

namespace sluice::stress {
namespace {

enum class ChildKind { ends, becomes_another, lives_on, outlives_its_parent, touches };
constexpr std::size_t child_kinds = 5;

// In a child of a process with many threads: system calls only.
[[noreturn]] void be_a_child(ChildKind kind, long milliseconds, const std::byte* managed) {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  const timespec time{0, milliseconds * 1'000'000};
  switch (kind) {
    case ChildKind::ends:
      break;
    case ChildKind::becomes_another:
      execl("/proc/self/exe", "sluice", "--version", nullptr);
      _exit(127);
    case ChildKind::lives_on:
      nanosleep(&time, nullptr);
      break;
    case ChildKind::outlives_its_parent:
      if (fork() == 0) nanosleep(&time, nullptr);
      break;
    case ChildKind::touches:
      prctl(PR_SET_DUMPABLE, 0);  // its death is as wanted, and no reason for a core
      static_cast<void>(*static_cast<const volatile std::byte*>(managed));
      break;
  }
  _exit(0);
}

}  // namespace

void ChaosTrouble::fork_children() {
  Random random(seed_ ^ 0xf0f0);
  while (!stop_) {
    fork_one(random);
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random.below(30)));
  }
}

void ChaosTrouble::fork_one(Random& random) {
  const auto kind = static_cast<ChildKind>(random.below(child_kinds));
  const long milliseconds = 1 + static_cast<long>(random.below(150));
  const pid_t child = fork();
  if (child == 0) be_a_child(kind, milliseconds, managed_);
  if (child < 0) return findings_.unexpected_error(fmt::format("fork: errno {}", errno));
  ++counts_.forks;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return findings_.unexpected_error(fmt::format("waitpid: errno {}", errno));
  }
  const bool right = kind == ChildKind::touches ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV
                                                : WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (right) return;
  findings_.violation(fmt::format("a forked child of kind {} ended with the wait status {:#x}",
                                  static_cast<int>(kind), status));
}

}  // namespace sluice::stress
