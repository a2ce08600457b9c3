// A private tmpfs: made wherever Linux allows it, with no trace in the process, and refused with
// its reason in sandboxes, which kill nothing but the child.
#include "os/private_tmpfs.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "os/host_memory.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

constexpr const char* tmpfs_name = "sluice: test";
constexpr std::size_t file_size = 8 * block_size;

// Runs `body` in a forked child and returns its answer; -1: it died.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// An ordinary user may read its own /proc files only while it is dumpable.
void become_ordinary() {
  if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(77);
  ::prctl(PR_SET_DUMPABLE, 1);
}

bool write_text(const char* path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

// True if this process may mount a tmpfs with huge pages, with privilege or in new namespaces: the
// same by other calls.
bool may_mount() {
  return !shared_huge_pages_denied() &&
         in_child([] {
           const std::string uid = std::to_string(::geteuid());
           const std::string gid = std::to_string(::getegid());
           if (::unshare(CLONE_NEWNS) != 0) {
             if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 1;
             write_text("/proc/self/setgroups", "deny");
             if (!write_text("/proc/self/uid_map", "0 " + uid + " 1")) return 1;
             if (!write_text("/proc/self/gid_map", "0 " + gid + " 1")) return 1;
           }
           if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
           return ::mount("tmpfs", "/proc", "tmpfs", 0, "huge=always") == 0 ? 0 : 1;
         }) == 0;
}

// Refuses a call with `answer`; nonzero `flags`: only with this first argument.
bool sandbox(long number, std::uint32_t answer, std::uint32_t flags = 0) {
  std::array<sock_filter, 6> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | (flags != 0 ? BPF_JEQ : BPF_JGE) | BPF_K, flags, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{program.size(), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

// 0: refused with `reason`, and a space's memory is a memfd that says the same and works.
int judge_refusal(const std::string& reason) {
  const auto made = make_private_tmpfs_file(tmpfs_name, file_size);
  if (made) return 1;
  if (made.error().code() != ErrorCode::unsupported) return 2;
  if (made.error().detail().find(reason) == std::string::npos) {
    std::fprintf(stderr, "%s\n", made.error().detail().data());
    return 3;
  }
  auto window = AddressWindow::reserve(std::size_t{1} << 30, std::size_t{1} << 30);
  if (!window) return 4;
  const auto memory = HostMemory::create(std::move(*window));
  if (!memory) return 5;
  if ((*memory)->no_private_tmpfs().find(reason) == std::string::npos) return 6;
  const AddressSpan span{(*memory)->window().begin, 2 * block_size};
  if (!(*memory)->map_view(span, HostPages::automatic) || !(*memory)->populate(span)) return 7;
  *reinterpret_cast<volatile int*>(span.begin.value) = 7;
  return *reinterpret_cast<volatile int*>((*memory)->alias(span.begin)) == 7 ? 0 : 8;
}

// 0: made, and a fault takes what its mapping asks for.
int judge_file() {
  const auto file = make_private_tmpfs_file(tmpfs_name, file_size);
  if (!file) {
    std::fprintf(stderr, "%s\n", file.error().detail().data());
    return 1;
  }
  auto* const view = static_cast<volatile char*>(
      ::mmap(nullptr, file_size, PROT_READ | PROT_WRITE, MAP_SHARED, file->get(), 0));
  if (view == MAP_FAILED) return 2;
  if (view[file_size - 1] != 0) return 3;
  auto* const memory = const_cast<char*>(view);
  if (::madvise(memory, file_size, MADV_REMOVE) != 0) return 4;
  if (::madvise(memory, file_size, MADV_NOHUGEPAGE) != 0) return 5;
  view[0] = 1;
  if (bytes_held(file->get()) != page_size) return 6;
  if (::fallocate(file->get(), 0, block_size, block_size) != 0) return 7;
  if (bytes_held(file->get()) != page_size + block_size) return 8;
  struct stat facts = {};
  if (::fstat(file->get(), &facts) != 0 || facts.st_nlink != 0) return 9;
  return mapping_at(memory).find("/memfd:sluice: test (deleted)") != std::string::npos ? 0 : 10;
}

TEST(PrivateTmpfs, is_made_where_linux_allows_it) {
  if (!may_mount()) GTEST_SKIP() << "no tmpfs may be mounted here";
  EXPECT_EQ(judge_file(), 0);
}

TEST(PrivateTmpfs, is_made_for_an_ordinary_user_where_linux_allows_it) {
  const int outcome = in_child([] {
    become_ordinary();
    if (!may_mount()) return 78;
    return judge_file();
  });
  if (outcome == 77 || outcome == 78) GTEST_SKIP() << "no ordinary user may mount a tmpfs here";
  EXPECT_EQ(outcome, 0);
}

std::string namespaces() {
  std::string all;
  for (const char* const which : {"user", "mnt", "pid"}) {
    std::array<char, 64> text{};
    const std::string path = std::string("/proc/self/ns/") + which;
    (void)!::readlink(path.c_str(), text.data(), text.size() - 1);
    all += text.data();
  }
  return all;
}

std::string status_of_process() {
  std::ifstream file("/proc/thread-self/status");
  std::string kept;
  for (std::string line; std::getline(file, line);)
    for (const char* const key :
         {"Uid:", "Cap", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "Seccomp"})
      if (line.starts_with(key)) kept += line + "\n";
  return kept;
}

std::atomic<int> children_told{0};

// 0: nothing in the process has changed but one descriptor.
int judge_traces() {
  struct sigaction action = {};
  action.sa_handler = [](int) { ++children_told; };
  ::sigaction(SIGCHLD, &action, nullptr);
  {
    const auto first = make_private_tmpfs_file(tmpfs_name, file_size);
  }
  const int dumpable = ::prctl(PR_GET_DUMPABLE);
  const Holdings held = holdings();
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i)
    others.emplace_back([&stop] {
      while (!stop) ::sched_yield();
    });
  const Holdings with_threads = holdings();
  const std::string before = namespaces() + status_of_process();
  int outcome = 0;
  for (int i = 0; i < 8 && outcome == 0; ++i) {
    const auto made = make_private_tmpfs_file(tmpfs_name, file_size);
    if (made && holdings().descriptors != with_threads.descriptors + 1) outcome = 1;
    if (!made && holdings() != with_threads) outcome = 2;
    if (::waitpid(-1, nullptr, __WALL | WNOHANG) != -1 || errno != ECHILD) outcome = 3;
  }
  stop = true;
  for (std::thread& other : others) other.join();
  if (outcome != 0) return outcome;
  if (const std::string after = namespaces() + status_of_process(); after != before) {
    std::fprintf(stderr, "%s\nbecame\n%s\n", before.c_str(), after.c_str());
    return 4;
  }
  if (::prctl(PR_GET_DUMPABLE) != dumpable) return 5;
  if (holdings() != held) return 6;
  return children_told == 0 ? 0 : 7;
}

TEST(PrivateTmpfs, leaves_no_trace_in_the_process) { EXPECT_EQ(in_child(judge_traces), 0); }

TEST(PrivateTmpfs, leaves_no_trace_in_the_process_of_an_ordinary_user) {
  const int outcome = in_child([] {
    become_ordinary();
    return judge_traces();
  });
  if (outcome == 77) GTEST_SKIP() << "no user to become";
  EXPECT_EQ(outcome, 0);
}

TEST(PrivateTmpfs, a_sandbox_that_refuses_is_named_and_memory_is_a_memfd) {
  if (shared_huge_pages_denied()) GTEST_SKIP() << "shmem_enabled is deny";
  struct Refusal {
    long number;
    std::uint32_t answer;
    std::uint32_t flags;
    const char* reason;
  };
  constexpr auto no = SECCOMP_RET_ERRNO | EPERM;
  const Refusal refusals[] = {
      {SYS_clone, no, CLONE_VM | CLONE_VFORK | CLONE_FILES, "clone: EPERM"},
      {SYS_fsmount, no, 0, "fsmount of a tmpfs: EPERM"},
      {SYS_fsopen, SECCOMP_RET_ERRNO | ENOSYS, 0, "fsopen of a tmpfs: ENOSYS"},
      {SYS_fsopen, SECCOMP_RET_KILL_PROCESS, 0, "killed by signal 31"},
      {SYS_fsopen, SECCOMP_RET_TRAP, 0, "killed by signal 31"},
  };
  for (const Refusal& refusal : refusals) {
    if (!may_mount() && std::string(refusal.reason).starts_with("fsm")) continue;
    const int outcome = in_child([&refusal] {
      if (!sandbox(refusal.number, refusal.answer, refusal.flags)) return 78;
      return judge_refusal(refusal.reason);
    });
    if (outcome == 78) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(outcome, 0) << refusal.reason;
  }
}

TEST(PrivateTmpfs, a_container_without_user_namespaces_is_named_and_memory_is_a_memfd) {
  if (shared_huge_pages_denied()) GTEST_SKIP() << "shmem_enabled is deny";
  const int outcome = in_child([] {
    const std::string uid = std::to_string(::geteuid());
    if (::unshare(CLONE_NEWUSER) != 0) return 78;
    if (!write_text("/proc/self/uid_map", "0 " + uid + " 1")) return 78;
    if (!write_text("/proc/sys/user/max_user_namespaces", "0")) return 78;
    return judge_refusal("unshare(CLONE_NEWUSER | CLONE_NEWNS): ENOSPC");
  });
  if (outcome == 78) GTEST_SKIP() << "no user namespace to be had for this test";
  EXPECT_EQ(outcome, 0);
}

TEST(PrivateTmpfs, a_process_without_huge_pages_gets_a_memfd) {
  EXPECT_EQ(in_child([] {
              if (::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) return 0;
              return judge_refusal("switched off for this process");
            }),
            0);
}

}  // namespace
}  // namespace sluice::os
