// Item 7: what a new program inherits, and what goes on beside its start.
#include <dirent.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "cases.hpp"

using namespace cases;

extern char** environ;

namespace {

void nothing(int) {}

// This program, to be started again with the name of a case.
struct Self {
  explicit Self(const char* name) : argument(name) {
    char found[4096] = {};
    if (readlink("/proc/self/exe", found, sizeof found - 1) < 0) _exit(3);
    path = found;
  }
  void become() {
    execv(path.c_str(), arguments().data());
    _exit(3);
  }
  int spawn(const posix_spawnattr_t* attributes = nullptr) {
    pid_t child = 0;
    int status = -1;
    if (posix_spawn(&child, path.c_str(), nullptr, attributes, arguments().data(), environ) == 0)
      waitpid(child, &status, 0);
    return status;
  }
  std::vector<char*> arguments() { return {path.data(), argument.data(), nullptr}; }

  std::string path;
  std::string argument;
};

// The state of a thread of this process, as Linux names it: S when it sleeps in a call.
char state_of(const char* thread) {
  const std::string path = std::string("/proc/self/task/") + thread + "/stat";
  FILE* const file = fopen(path.c_str(), "re");
  if (file == nullptr) return 'S';  // has ended
  char text[256] = {};
  (void)!fread(text, 1, sizeof text - 1, file);
  fclose(file);
  const char* const name_end = strrchr(text, ')');
  return name_end != nullptr ? name_end[2] : 'R';
}
bool others_sleep() {
  const std::string mine = std::to_string(gettid());
  DIR* const threads = opendir("/proc/self/task");
  bool all = true;
  while (const dirent* const entry = readdir(threads))
    if (entry->d_name[0] != '.' && mine != entry->d_name)
      all = all && state_of(entry->d_name) == 'S';
  closedir(threads);
  return all;
}
// Linux forgets that a signal is ignored when exec ends a thread that waits in a page fault for the
// lock of the address space. So the engine's threads, which have just been started, come to rest
// first.
void let_others_rest() {
  for (int quiet = 0; quiet < 3; quiet = others_sleep() ? quiet + 1 : 0) usleep(1000);
}

// A thread that touches managed memory which is elsewhere, over and over.
std::atomic<int> touches{0};
void* keep_touching(void*) {
  volatile int* const page = managed();
  while (true) {
    if (*page != held) say("wrong bytes");
    ++touches;
    take_away(page);
  }
  return nullptr;
}
void start_touching() {
  pthread_t thread;
  pthread_create(&thread, nullptr, keep_touching, nullptr);
  while (touches < 10) usleep(1000);
}

}  // namespace

void cases::leave_the_guard() {
  unsetenv("LD_PRELOAD");
  setenv("SLUICE_CASES", "plain", 1);
}
int cases::run_without_the_guard(const char* name) {
  leave_the_guard();
  return Self(name).spawn();
}

CASE(print_inheritance) {
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  say("SEGV blocked %d USR1 blocked %d ignored %d default %d", is_blocked(SIGSEGV),
      is_blocked(SIGUSR1), now.sa_handler == SIG_IGN, now.sa_handler == SIG_DFL);
}
CASE(exec_inherits_the_mask) {
  mask(SIG_BLOCK, SIGSEGV);
  mask(SIG_BLOCK, SIGUSR1);
  set_plain(SIGSEGV, nothing);
  Self("print_inheritance").become();
}
CASE(exec_inherits_ignoring) {
  signal(SIGSEGV, SIG_IGN);
  let_others_rest();
  Self("print_inheritance").become();
}
CASE(spawn_inherits_both) {
  mask(SIG_BLOCK, SIGSEGV);
  signal(SIGSEGV, SIG_IGN);
  say("status %d, %d", Self("print_inheritance").spawn(), *managed());
  say("still blocked %d", is_blocked(SIGSEGV));
}
CASE(spawn_puts_the_default_in_force) {
  signal(SIGSEGV, SIG_IGN);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t just;
  sigemptyset(&just);
  sigaddset(&just, SIGSEGV);
  posix_spawnattr_setsigdefault(&attributes, &just);
  posix_spawnattr_setsigmask(&attributes, &just);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  say("status %d", Self("print_inheritance").spawn(&attributes));
}
CASE(shells_inherit_both) {
  mask(SIG_BLOCK, SIGSEGV);
  signal(SIGSEGV, SIG_IGN);
  const std::string command = Self("").path + " print_inheritance";
  say("status %d", system(command.c_str()));
  FILE* const shell = popen(command.c_str(), "r");
  char line[256] = {};
  while (fgets(line, sizeof line, shell) != nullptr) say("%s", line);
  say("status %d, %d", pclose(shell), *managed());
}
// A process of one thread gives all of it to a program that has no guard.
CASE(a_program_without_the_guard_inherits_both) {
  mask(SIG_BLOCK, SIGSEGV);
  signal(SIGSEGV, SIG_IGN);
  const pid_t child = fork();
  if (child == 0) {
    leave_the_guard();
    Self("print_inheritance").become();
  }
  int status = -1;
  waitpid(child, &status, 0);
  say("status %d", status);
}
CASE(exec_fails_and_all_goes_on) {
  signal(SIGSEGV, SIG_IGN);
  char name[] = "/nonexistent/program";
  char* arguments[] = {name, nullptr};
  say("%d", execv(name, arguments));
  say("%d", *managed());
  raise(SIGSEGV);
}
// Programs start while another thread touches managed memory: ignoring SIGSEGV must not reach its
// accesses.
CASE(others_touch_while_programs_start) {
  signal(SIGSEGV, SIG_IGN);
  start_touching();
  char path[] = "/bin/true";
  char* arguments[] = {path, nullptr};
  for (int i = 0; i < 50; ++i) {
    pid_t child = 0;
    int status = -1;
    if (posix_spawn(&child, path, nullptr, nullptr, arguments, environ) == 0)
      waitpid(child, &status, 0);
    if (status != 0) say("status %d", status);
  }
  const int before = touches;
  say("status %d", system("exit 3"));
  while (touches == before) usleep(1000);
}
CASE(others_touch_when_exec_ends_them) {
  signal(SIGSEGV, SIG_IGN);
  start_touching();
  char path[] = "/bin/sh";
  char option[] = "-c";
  char command[] = "echo arrived";
  char* arguments[] = {path, option, command, nullptr};
  execv(path, arguments);
}
CASE(status_says_whether_it_is_ignored) {
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  _exit(now.sa_handler == SIG_IGN ? 10 : 11);
}
static void* keep_mapping(void*) {
  while (true) {
    void* const fresh =
        mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *static_cast<volatile char*>(fresh) = 1;
    munmap(fresh, 65536);
  }
  return nullptr;
}
// Natively Linux forgets some of these: see let_others_rest(). The guard hands it on in a way that
// Linux does not touch.
CASE(guarded_exec_keeps_ignoring_whatever_threads_do) {
  signal(SIGSEGV, SIG_IGN);
  int kept = 0;
  for (int i = 0; i < 60; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("SLUICE_CASES", "plain", 1);
      for (int thread = 0; thread < 6; ++thread) {
        pthread_t started;
        pthread_create(&started, nullptr, keep_mapping, nullptr);
      }
      usleep(2000);
      Self("status_says_whether_it_is_ignored").become();
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 10) ++kept;
  }
  say("kept %d of 60", kept);
}
