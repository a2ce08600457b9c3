// Each system call that Sluice makes is refused in turn, with EPERM and with ENOSYS, before a space
// is opened and after it was.
//
//   seccomp_matrix [--only NAME ERRNO before|after]
//
// Sandboxes, containers and old kernels do this. The scenario must work, or stop at an error that
// names the call: it must not crash, hang, or show a wrong byte. An access of the host has no error
// to return: one that nobody can answer any more is a segmentation fault after a line on stderr
// that names the call. The calls are those that the scenario makes, seen by tracing it and its
// device processes; the filter is plain BPF. Left out are calls that libc and the dynamic loader
// need themselves, each with its reason below.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "scenario.hpp"

#ifndef __x86_64__
int main() {
  std::puts("seccomp_matrix: SKIPPED: the filter is written for x86-64");
  return 77;
}
#else

namespace sluice::fuzz {
namespace {

struct Name {
  long number;
  const char* name;
  const char* also = nullptr;  // how an error may name it: libc's function, or what it is for
};

// The dynamic loader of a device process needs the call. It says so on stderr, and the library says
// where to look.
constexpr const char* at_start = "ended at its start";

constexpr Name names[] = {
    {SYS_read, "read", at_start},
    {SYS_write, "write"},
    {SYS_open, "open"},
    {SYS_close, "close"},
    {SYS_stat, "stat"},
    {SYS_fstat, "fstat"},
    {SYS_lseek, "lseek"},
    {SYS_mmap, "mmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_munmap, "munmap"},
    {SYS_brk, "brk"},
    {SYS_rt_sigaction, "rt_sigaction", "sigaction"},
    {SYS_rt_sigprocmask, "rt_sigprocmask", "sigmask"},
    {SYS_ioctl, "ioctl", "UFFD"},
    {SYS_pread64, "pread64", at_start},
    {SYS_access, "access"},
    {SYS_pipe2, "pipe2", "pipe"},
    {SYS_poll, "poll"},
    {SYS_ppoll, "ppoll", "poll"},
    {SYS_sched_yield, "sched_yield"},
    {SYS_mremap, "mremap"},
    {SYS_madvise, "madvise"},
    {SYS_dup2, "dup2", "dup"},
    {SYS_dup, "dup"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_clock_gettime, "clock_gettime"},
    {SYS_getpid, "getpid"},
    {SYS_gettid, "gettid"},
    {SYS_socketpair, "socketpair"},
    {SYS_sendmsg, "sendmsg", "send"},
    {SYS_recvmsg, "recvmsg", "recv"},
    {SYS_sendto, "sendto", "send"},
    {SYS_recvfrom, "recvfrom", "recv"},
    {SYS_shutdown, "shutdown"},
    {SYS_clone, "clone"},
    {SYS_clone3, "clone3"},
    {SYS_vfork, "vfork", "posix_spawn"},
    {SYS_execve, "execve", "exec"},
    {SYS_execveat, "execveat", "exec"},
    {SYS_wait4, "wait4", "wait"},
    {SYS_waitid, "waitid", "wait"},
    {SYS_kill, "kill"},
    {SYS_fcntl, "fcntl"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_fallocate, "fallocate"},
    {SYS_readlink, "readlink"},
    {SYS_readlinkat, "readlinkat", "readlink"},
    {SYS_getcwd, "getcwd"},
    {SYS_sysinfo, "sysinfo"},
    {SYS_prctl, "prctl"},
    {SYS_arch_prctl, "arch_prctl", at_start},
    {SYS_sigaltstack, "sigaltstack"},
    {SYS_sched_getaffinity, "sched_getaffinity"},
    {SYS_sched_setscheduler, "sched_setscheduler"},
    {SYS_sched_getparam, "sched_getparam"},
    {SYS_getrlimit, "getrlimit", "prlimit"},
    {SYS_prlimit64, "prlimit64", "prlimit"},
    {SYS_set_tid_address, "set_tid_address"},
    {SYS_set_robust_list, "set_robust_list"},
    {SYS_rseq, "rseq"},
    {SYS_openat, "openat", "open"},
    {SYS_newfstatat, "newfstatat", "stat"},
    {SYS_statx, "statx", "stat"},
    {SYS_getdents64, "getdents64"},
    {SYS_eventfd2, "eventfd2", "eventfd"},
    {SYS_getrandom, "getrandom"},
    {SYS_memfd_create, "memfd_create"},
    {SYS_userfaultfd, "userfaultfd"},
    {SYS_pidfd_open, "pidfd_open"},
    {SYS_pidfd_send_signal, "pidfd_send_signal"},
    {SYS_pidfd_getfd, "pidfd_getfd"},
    {SYS_close_range, "close_range"},
    {SYS_tgkill, "tgkill"},
    {SYS_exit, "exit"},
    {SYS_exit_group, "exit_group"},
    {SYS_fchmod, "fchmod"},
    {SYS_futex, "futex"},
    {SYS_rt_sigreturn, "rt_sigreturn"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_process_vm_readv, "process_vm_readv"},
    {SYS_getuid, "getuid"},
    {SYS_geteuid, "geteuid"},
    {SYS_getgid, "getgid"},
    {SYS_getegid, "getegid"},
    {SYS_getppid, "getppid"},
    {SYS_setsid, "setsid"},
    {SYS_uname, "uname"},
    {SYS_setpriority, "setpriority"},
    {SYS_membarrier, "membarrier"},
    {SYS_mincore, "mincore"},
    {SYS_setitimer, "setitimer"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_unshare, "unshare"},
    {SYS_fsopen, "fsopen"},
    {SYS_fsconfig, "fsconfig"},
    {SYS_fsmount, "fsmount"},
};

// No program survives the loss of these, whatever its libraries do.
const char* reason_to_leave_out(long number) {
  switch (number) {
    case SYS_futex:
      return "libc ends the program when a mutex cannot wait";
    case SYS_exit:
    case SYS_exit_group:
      return "nothing ends without it";
    case SYS_rt_sigreturn:
      return "no signal handler returns without it";
    case SYS_brk:
      return "malloc takes a refusal for a success";
    case SYS_rseq:
      return "libc ends the program when a thread starts without it";
    default:
      return nullptr;
  }
}

const Name* name_of(long number) {
  for (const Name& known : names)
    if (known.number == number) return &known;
  return nullptr;
}

// --- the filter ----------------------------------------------------------------------------------

bool refuse(long number, int error) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{program.size(), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  // All threads at once: those of an open space, too.
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

// --- the scenario, with a call refused -----------------------------------------------------------

struct Case {
  long number = -1;  // -1: nothing is refused
  int error = 0;
  bool before = true;
};

enum Outcome { worked = 0, told = 10, wrong = 11, unnamed = 12, no_filter = 13, told_at_access };

// As a word of its own: "thread" names no call.
bool has_word(const std::string& text, const std::string& word) {
  const auto is_inside = [&text](std::size_t at) {
    return at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_');
  };
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
    if (!is_inside(at - 1) && !is_inside(at + word.size())) return true;
  return false;
}

bool is_named_in(const std::string& words, const Name* name) {
  return name != nullptr &&
         (has_word(words, name->name) || (name->also != nullptr && has_word(words, name->also)));
}

class RefusedScenario final : public Scenario {
 public:
  explicit RefusedScenario(const Case& refused) : Scenario({}), case_(refused) {}

  int run_case() {
    if (case_.before && case_.number >= 0 && !refuse(case_.number, case_.error)) return no_filter;
    const bool done = run();
    if (wrong_bytes_) return wrong;
    return done ? worked : outcome_;
  }

 protected:
  bool judge(const char* call, sluice_status status) override {
    const std::string why = sluice_last_error();
    std::fprintf(stderr, "%.60s: %s: %s\n", call, sluice_status_name(status), why.c_str());
    outcome_ = is_named_in(why, name_of(case_.number)) ? told : unnamed;
    return false;
  }
  void opened() override {
    if (!case_.before && !refuse(case_.number, case_.error)) ::_exit(no_filter);
  }

 private:
  const Case case_;
  int outcome_ = unnamed;
};

// Runs a case in a child; its outcome, or minus the signal that ended it. Its stderr goes to
// `words`.
int run_in_child(const Case& wanted, std::string& words) {
  std::FILE* const report = std::tmpfile();
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::fileno(report), STDERR_FILENO);
    ::alarm(120);  // ends a hang
    ::_exit(RefusedScenario(wanted).run_case());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::rewind(report);
  words.clear();
  for (int c = std::fgetc(report); c != EOF && words.size() < 1500; c = std::fgetc(report))
    words.push_back(static_cast<char>(c));
  std::fclose(report);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  const std::size_t line = words.find("sluice: ");
  if (WTERMSIG(status) == SIGSEGV && line != std::string::npos &&
      is_named_in(words.substr(line), name_of(wanted.number)))
    return told_at_access;
  return -WTERMSIG(status);
}

// --- which calls it makes ------------------------------------------------------------------------

// Runs the scenario under ptrace, with all threads and processes that it starts.
std::set<long> traced_calls() {
  std::set<long> calls;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::ptrace(PTRACE_TRACEME, 0, 0, 0);
    ::raise(SIGSTOP);
    ::_exit(RefusedScenario({}).run_case());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  constexpr long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                           PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  ::ptrace(PTRACE_SETOPTIONS, child, 0, options);
  ::ptrace(PTRACE_SYSCALL, child, 0, 0);
  while (true) {
    const pid_t stopped = ::waitpid(-1, &status, __WALL);
    if (stopped < 0 && errno == EINTR) continue;
    if (stopped < 0) break;
    if (!WIFSTOPPED(status)) continue;
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      if (::ptrace(PTRACE_GET_SYSCALL_INFO, stopped, sizeof info, &info) > 0 &&
          info.op == PTRACE_SYSCALL_INFO_ENTRY)
        calls.insert(static_cast<long>(info.entry.nr));
      signal = 0;
    } else if (signal == SIGTRAP || signal == SIGSTOP) {
      signal = 0;
    }
    ::ptrace(PTRACE_SYSCALL, stopped, 0, signal);
  }
  return calls;
}

// --- the matrix ----------------------------------------------------------------------------------

const char* to_string(int outcome) {
  switch (outcome) {
    case worked:
      return "works";
    case told:
      return "an error that names it";
    case told_at_access:
      return "an access that cannot be answered, with a line that names it";
    case wrong:
      return "WRONG BYTES";
    case unnamed:
      return "an error that does not name it";
    case no_filter:
      return "the filter was refused";
    case -SIGALRM:
      return "HANG";
    default:
      return "CRASH";
  }
}

bool run_case(const Case& wanted) {
  std::string words;
  const int outcome = run_in_child(wanted, words);
  const bool good = outcome == worked || outcome == told || outcome == told_at_access;
  const Name* const name = name_of(wanted.number);
  std::printf("%-18s %-6s %s opening: %s", name != nullptr ? name->name : "?",
              wanted.error == EPERM ? "EPERM" : "ENOSYS", wanted.before ? "before" : "after ",
              to_string(outcome));
  if (outcome < 0) std::printf(" (signal %d)", -outcome);
  std::printf("\n");
  if (outcome != worked)
    std::printf("    %s", words.empty() ? "(it said nothing)\n" : words.c_str());
  std::fflush(stdout);
  return good;
}

int run() {
  std::string words;
  if (const int outcome = run_in_child({}, words); outcome != worked) {
    std::printf("seccomp_matrix: the scenario itself fails: %s\n%s", to_string(outcome),
                words.c_str());
    return 1;
  }
  const std::set<long> calls = traced_calls();
  int findings = 0;
  int cases = 0;
  for (const long number : calls) {
    if (const char* const reason = reason_to_leave_out(number)) {
      std::printf("%-18s left out: %s\n", name_of(number)->name, reason);
      continue;
    }
    if (name_of(number) == nullptr) {
      std::printf("system call %ld is made, and this test has no name for it\n", number);
      ++findings;
      continue;
    }
    for (const int error : {EPERM, ENOSYS})
      for (const bool before : {true, false}) {
        ++cases;
        if (!run_case({number, error, before})) ++findings;
      }
  }
  std::printf("seccomp_matrix: %zu calls, %d cases, %d findings\n", calls.size(), cases, findings);
  return findings == 0 && calls.size() > 20 ? 0 : 1;
}

}  // namespace
}  // namespace sluice::fuzz

int main(int count, char** arguments) {
  if (count == 5 && std::strcmp(arguments[1], "--only") == 0) {
    for (const auto& known : sluice::fuzz::names)
      if (std::strcmp(known.name, arguments[2]) == 0)
        return sluice::fuzz::run_case({known.number,
                                       std::strcmp(arguments[3], "EPERM") == 0 ? EPERM : ENOSYS,
                                       std::strcmp(arguments[4], "before") == 0})
                   ? 0
                   : 1;
    return 2;
  }
  return sluice::fuzz::run();
}
#endif
