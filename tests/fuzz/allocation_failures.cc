// Every allocation fails once: the first, the second, ... until the scenario runs through without
// meeting a failure.
//
//   allocation_failures [--grade full|user|signal] [--devices N] [--recoverable] [--strict] [--only N] [--step N]
//
// --only N fails the Nth alone and shows where it was made; --step N fails every Nth. On whatever
// thread the failure is met, the call answers out_of_host_memory or does not notice; made again, it
// succeeds; and at the end nothing is left: no descriptor, no process, no lease, no claim, and with
// LeakSanitizer no memory. Each failure is made in a child of its own, so one that ends the process
// does not hide the others. What it does not do: make mmap fail, or allocations of the device
// processes.
#include <dirent.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>

#include "failing_allocations.hpp"
#include "scenario.hpp"

namespace sluice::fuzz {
namespace {

// A promise is broken: says where the failure was made, and where it ended the process.
[[noreturn]] void tell_and_abort() {
  std::fprintf(stderr, "terminated; the allocation that failed:\n");
  show_failed_allocation();
  std::array<void*, 40> frames{};
  std::fprintf(stderr, "terminated at:\n");
  backtrace_symbols_fd(frames.data(), backtrace(frames.data(), 40), STDERR_FILENO);
  std::abort();
}

class WithoutMemory final : public Scenario {
 public:
  using Scenario::Scenario;

 protected:
  bool judge(const char* call, sluice_status status) override {
    if (status == SLUICE_ERROR_OUT_OF_HOST_MEMORY && allocation_failed()) return true;
    std::fprintf(stderr, "%s: %s: %s\n", call, sluice_status_name(status), sluice_last_error());
    return false;
  }
};

std::size_t descriptors() {
  std::size_t count = 0;
  DIR* const opened = ::opendir("/proc/self/fd");
  while (opened != nullptr && ::readdir(opened) != nullptr) ++count;
  if (opened != nullptr) ::closedir(opened);
  return count;
}

enum Outcome { held = 0, broken = 1, ran_through = 2 };

// Whether the scenario kept what it promises when the nth allocation fails.
Outcome outcome_of(const Setup& setup, long nth) {
  const std::size_t before = descriptors();
  fail_allocation(nth);
  WithoutMemory scenario(setup);
  const bool done = scenario.run();
  const bool failed = allocation_failed();
  if (!failed) fail_allocation(0);
  if (done && descriptors() == before && ::waitpid(-1, nullptr, WNOHANG) < 0)
    return failed ? held : ran_through;
  if (done)
    std::fprintf(stderr, "%zu descriptors before, %zu after, or a device process is left\n", before,
                 descriptors());
  show_failed_allocation();
  return broken;
}

Outcome outcome_in_child(const Setup& setup, long nth) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(120);  // ends a hang
    std::exit(outcome_of(setup, nth));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) <= ran_through)
    return static_cast<Outcome>(WEXITSTATUS(status));
  if (WIFSIGNALED(status))
    std::fprintf(stderr, "ended by signal %d%s\n", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ", after it hung" : "");
  return broken;
}

struct Options {
  Setup setup;
  long only = 0;
  long step = 1;
};

int run(const Options& options) {
  if (options.only != 0) {
    const Outcome outcome = outcome_of(options.setup, options.only);
    show_failed_allocation();
    return outcome == broken ? 1 : 0;
  }
  int found = 0;
  long nth = options.step;
  for (bool through = false; !through && found < 20; nth += options.step) {
    const Outcome outcome = outcome_in_child(options.setup, nth);
    through = outcome == ran_through;
    if (outcome != broken) continue;
    ++found;
    std::printf("allocation_failures: number %ld breaks a promise (--only %ld shows where)\n", nth,
                nth);
    std::fflush(stdout);
  }
  std::printf("allocation_failures: %ld allocations, %d findings\n", nth - options.step, found);
  return found == 0 ? 0 : 1;
}

bool read(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    const char* const value = i + 1 < count ? arguments[i + 1] : "";
    if (name == "--recoverable") {
      options.setup.recoverable = true;
      continue;
    }
    if (name == "--strict") {
      options.setup.strict = true;
      continue;
    }
    ++i;
    if (name == "--only")
      options.only = std::atol(value);
    else if (name == "--step")
      options.step = std::atol(value);
    else if (name == "--devices")
      options.setup.devices = std::atoi(value);
    else if (name == "--grade")
      options.setup.grade = std::strcmp(value, "full") == 0   ? SLUICE_GRADE_FULL
                            : std::strcmp(value, "user") == 0 ? SLUICE_GRADE_USER
                                                              : SLUICE_GRADE_SIGNAL;
    else
      return false;
  }
  return options.step > 0;
}

}  // namespace
}  // namespace sluice::fuzz

int main(int count, char** arguments) {
  sluice::fuzz::Options options;
  if (!sluice::fuzz::read(count, arguments, options)) {
    std::fprintf(stderr, "the first lines of allocation_failures.cc list the arguments\n");
    return 2;
  }
  std::set_terminate(sluice::fuzz::tell_and_abort);
  sluice::fuzz::prepare_failing_allocations();
  return sluice::fuzz::run(options);
}
