// Children of vfork() run in their parent's memory and have actions of their own: what they set is
// theirs alone.
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.hpp"

using namespace cases;

extern char** environ;

namespace {

volatile sig_atomic_t seen = 0;
void on_signal(int) { ++seen; }
void on_signal_with_context(int, siginfo_t*, void*) { ++seen; }

void say_actions(const char* where) {
  for (const int signal : {SIGSEGV, SIGUSR1, SIGUSR2}) {
    struct sigaction now = {};
    sigaction(signal, nullptr, &now);
    say("%s: %d has flags %x, default %d, ours %d", where, signal,
        static_cast<unsigned>(now.sa_flags) & ~0x04000000U, now.sa_handler == SIG_DFL,
        now.sa_handler == on_signal || now.sa_sigaction == on_signal_with_context);
  }
}

void set_all() {
  set_plain(SIGSEGV, on_signal);
  set(SIGUSR1, on_signal_with_context);
  set(SIGUSR2, on_signal_with_context, SA_SIGINFO | SA_RESTART);
}

int status_of(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

CASE(vfork_child_resets_its_own_handlers) {
  set_all();
  const pid_t child = vfork();
  if (child == 0) {
    say_actions("child before");
    signal(SIGSEGV, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_IGN);
    say_actions("child after");
    execl("/bin/true", "true", nullptr);
    _exit(3);
  }
  say("status %d", status_of(child));
  say_actions("parent");
  raise(SIGUSR1);
  raise(SIGUSR2);
  raise(SIGSEGV);
  say("seen %d", static_cast<int>(seen));
  say("%d", *managed());
}
CASE(vfork_child_dies_by_its_own_default) {
  set_all();
  const pid_t child = vfork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    _exit(3);
  }
  const int status = status_of(child);
  say("signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  const pid_t other = vfork();
  if (other == 0) {
    signal(SIGSEGV, SIG_DFL);
    *wild() = 1;
    _exit(3);
  }
  const int its_status = status_of(other);
  say("signal %d", WIFSIGNALED(its_status) ? WTERMSIG(its_status) : 0);
  say_actions("parent");
  *managed() = 1;
}
CASE(vfork_child_has_handlers_of_its_own) {
  signal(SIGSEGV, SIG_DFL);
  signal(SIGUSR1, SIG_DFL);
  volatile int* const page = managed();
  const pid_t child = vfork();
  if (child == 0) {
    set_all();
    raise(SIGSEGV);
    raise(SIGUSR1);
    say("child saw %d, page %d", static_cast<int>(seen), *page);
    _exit(5);
  }
  say("status %d", WEXITSTATUS(status_of(child)));
  say_actions("parent");
}
CASE(vfork_child_ignores_for_the_program_that_it_starts) {
  set_all();
  const pid_t child = vfork();
  if (child == 0) {
    signal(SIGSEGV, SIG_IGN);
    execl("/proc/self/exe", "guard-cases", "print_inheritance", nullptr);
    _exit(3);
  }
  say("status %d", status_of(child));
  say_actions("parent");
}
// A copy of the process past libc's fork() is a process of its own, too.
CASE(child_of_a_raw_fork_has_its_own_table) {
  set_all();
  const auto child = static_cast<pid_t>(syscall(SYS_fork));
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    say_actions("child");
    _exit(0);
  }
  say("status %d", status_of(child));
  say_actions("parent");
}
CASE(spawn_with_the_default_action_by_name) {
  signal(SIGSEGV, SIG_IGN);
  posix_spawnattr_t attributes;
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGSEGV);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  char path[] = "/proc/self/exe";
  char name[] = "print_inheritance";
  char* const arguments[] = {path, name, nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, path, nullptr, &attributes, arguments, environ);
  const int status = status_of(child);  // it has printed by then
  say("%d", error);
  say("status %d", status);
}
