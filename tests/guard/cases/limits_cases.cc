// What is known to differ from a native run: each limit of docs/signals.md, and how it shows
// (cases_test.py knows what to expect).
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <string>

#include "cases.hpp"

using namespace cases;

namespace {

void nothing(int) {}
void result(const char* call, long got) { say("%s %ld errno %d", call, got, got < 0 ? errno : 0); }
bool is_of_memory(const unsigned char* bytes, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (bytes[i] != static_cast<unsigned char>(i * 7)) return false;
  return true;
}

// A system call that nobody sees.
long assembly_call(long number, long a, const void* b, void* c, long d) {
  long got = number;
  register long fourth asm("r10") = d;
  asm volatile("syscall"
               : "+a"(got)
               : "D"(a), "S"(b), "d"(c), "r"(fourth)
               : "rcx", "r11", "memory");
  return got;
}

// A line of what /proc/PID/status says, without its name.
std::string line_of(FILE* status, const char* name) {
  char line[256];
  std::string found;
  while (fgets(line, sizeof line, status) != nullptr)
    if (strncmp(line, name, strlen(name)) == 0) found = line + strlen(name) + 1;
  return found;
}
std::string line_of(pid_t process, const char* name) {
  FILE* const file = fopen(("/proc/" + std::to_string(process) + "/status").c_str(), "re");
  const std::string found = line_of(file, name);
  fclose(file);
  return found;
}
bool has_signal(const std::string& set, int signal) {
  return (strtoul(set.c_str(), nullptr, 16) >> (signal - 1) & 1) != 0;
}

}  // namespace

// --- signals -------------------------------------------------------------------------------------

// A mask that assembly sets blocks the kernel's own SIGSEGV.
CASE(limit_mask_set_by_assembly) {
  const unsigned long segv = 1UL << (SIGSEGV - 1);
  volatile int* const page = managed();
  say("%ld", assembly_call(SYS_rt_sigprocmask, SIG_BLOCK, &segv, nullptr, 8));
  say("%d", *page);
}
// The guard keeps SIGSTKFLT for itself.
CASE(limit_sigstkflt) {
  mask(SIG_BLOCK, SIGSTKFLT);
  say("blocked %d", is_blocked(SIGSTKFLT));
}
// A program that something without the guard starts with SIGSTKFLT ignored.
CASE(limit_sigstkflt_ignored) {
  const unsigned long ignoring[4] = {1, 0, 0, 0};
  say("%ld", assembly_call(SYS_rt_sigaction, SIGSTKFLT, ignoring, nullptr, 8));
  char path[] = "/proc/self/exe";
  char name[] = "print_inheritance";
  char* arguments[] = {path, name, nullptr};
  execv(path, arguments);
}
// What a signalfd gives says SIGSTKFLT.
CASE(limit_signalfd) {
  say("in a signalfd SIGSEGV is named by the guard's own signal");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  mask(SIG_BLOCK, SIGSEGV);
  const int file = static_cast<int>(syscall(SYS_signalfd4, -1, &set, 8, 0));
  raise(SIGSEGV);
  unsigned char info[128];
  say("%zd", read(file, info, sizeof info));
  unsigned signal = 0;
  memcpy(&signal, info, sizeof signal);
  say("signal %u", signal);
}
// It is never really blocked, so a slow call hears of it.
CASE(limit_a_blocked_signal_of_another_process_interrupts) {
  set_plain(SIGSEGV, nothing);
  mask(SIG_BLOCK, SIGSEGV);
  int ends[2];
  result("pipe", pipe(ends));
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    // Asleep for good, and not for a moment on its way out of fork.
    for (int asleep = 0; asleep < 50; usleep(1000))
      asleep = line_of(parent, "State:")[0] == 'S' ? asleep + 1 : 0;
    kill(parent, SIGSEGV);
    while (!has_signal(line_of(parent, "SigBlk:"), SIGSEGV) &&
           has_signal(line_of(parent, "ShdPnd:"), SIGSEGV))
      usleep(1000);
    usleep(10000);
    _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte = 0;
  result("read", read(ends[0], &byte, 1));
  waitpid(child, nullptr, 0);
}
CASE(limit_getcontext) {
  mask(SIG_BLOCK, SIGSEGV);
  ucontext_t context = {};
  getcontext(&context);
  say("SEGV %d STKFLT %d", sigismember(&context.uc_sigmask, SIGSEGV),
      sigismember(&context.uc_sigmask, SIGSTKFLT));
}

// --- programs without the guard ------------------------------------------------------------------

static void* wait_for_ever(void*) {
  while (true) pause();
}
// Ignoring would reach the other threads' accesses.
CASE(limit_ignoring_beside_threads) {
  signal(SIGSEGV, SIG_IGN);
  pthread_t thread;
  pthread_create(&thread, nullptr, wait_for_ever, nullptr);
  say("status %d", run_without_the_guard("print_inheritance"));
}
// libc starts it past the guard.
CASE(limit_shell_without_the_guard) {
  signal(SIGSEGV, SIG_IGN);
  leave_the_guard();
  FILE* const shell = popen("cat /proc/self/status", "r");
  say("ignored %d", has_signal(line_of(shell, "SigIgn:"), SIGSEGV));
  say("status %d", pclose(shell));
}

// --- kernel accesses -----------------------------------------------------------------------------

// A raw system call is seen by nobody: EFAULT, and never wrong bytes.
CASE(limit_raw_read) {
  const int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  unsigned char* const to = managed_bytes(4096);
  errno = 0;
  const long got = syscall(SYS_read, zeros, to, 4096L);
  say("%ld errno %d memory right %d", got, got < 0 ? errno : 0,
      got < 0 ? is_of_memory(to, 4096) : to[0] == 0 && to[4095] == 0);
}
// Names of files are not resolved.
CASE(limit_file_name) {
  constexpr char name[] = "/dev/null";
  unsigned char* const managed_name = managed_bytes(sizeof name);
  memcpy(managed_name, name, sizeof name);
  take_away(reinterpret_cast<volatile int*>(managed_name));
  const int file = open(reinterpret_cast<const char*>(managed_name), O_RDONLY | O_CLOEXEC);
  say("opened %d errno %d", file >= 0, file < 0 ? errno : 0);
}
CASE(limit_small_arguments) {
  result("clock_gettime",
         clock_gettime(CLOCK_THREAD_CPUTIME_ID, reinterpret_cast<timespec*>(managed_bytes(64))));
}
CASE(limit_ioctl) {
  int ends[2];
  result("pipe", pipe(ends));
  result("ioctl", ioctl(ends[0], FIONREAD, managed_bytes(64)));
}
CASE(limit_setvbuf) {
  FILE* const zeros = fopen("/dev/zero", "re");
  say("%d", setvbuf(zeros, reinterpret_cast<char*>(managed_bytes(4096)), _IOFBF, 4096));
  errno = 0;
  const int byte = fgetc(zeros);
  say("byte %d errno %d", byte, byte < 0 ? errno : 0);
}
// Another process names our page; its own side would be resolved.
CASE(limit_memory_of_another_process) {
  unsigned char* const page = managed_bytes(4096);
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    unsigned char bytes[64] = {};
    const iovec to = {bytes, sizeof bytes};
    const iovec from = {page, sizeof bytes};
    const long got = process_vm_readv(parent, &to, 1, &from, 1, 0);
    result("process_vm_readv", got);
    say("right %d", is_of_memory(bytes, sizeof bytes));
    _exit(0);
  }
  waitpid(child, nullptr, 0);
}
