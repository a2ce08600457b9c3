// Makes a file on a private tmpfs, by a child of a few system calls.
//
// The steps belong in a child (shared_child.hpp): a thread of a program with several threads cannot
// enter a user namespace, and where a sandbox kills for a refused call (seccomp), it kills the
// child alone. The file is at once a descriptor of this process. The child makes bare system calls
// only, and an alarm ends it.
//
// Cost: measured 0.1 ms of CPU with CAP_SYS_ADMIN, 0.6 ms with namespaces. What it does not do:
// work without /proc (the child writes its uid_map there), or before Linux 5.2 (fsopen).
#include "os/private_tmpfs.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/machine.hpp"
#include "os/memory_file.hpp"
#include "os/new_descriptors.hpp"
#include "os/shared_child.hpp"
#include "os/valgrind.hpp"

// Linux 5.2; absent from older headers. The numbers are those of x86-64 and of arm64.
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif

namespace sluice::os {
namespace {

constexpr std::size_t child_stack_size = std::size_t{64} << 10;
constexpr long time_limit_s = 10;

// Those of linux/mount.h, which clashes with sys/mount.h.
constexpr unsigned fsopen_cloexec = 1;
constexpr unsigned fsconfig_set_string = 1;
constexpr unsigned fsconfig_create = 6;
constexpr unsigned fsmount_cloexec = 1;
constexpr unsigned mount_nosuid_nodev_noexec = 2 | 4 | 8;

// The orders for the child, and its answer.
struct Work {
  const char* name;
  std::array<char, 32> uid_map;
  std::array<char, 32> gid_map;
  int file = -1;
  int context = -1;  // descriptors that the child closes, unless it is killed
  int mount = -1;
  const char* step = "the child";  // the refused step, and its error
  int error = ECHILD;              // where memory is not shared with it: under some emulators
};

// --- in the child --------------------------------------------------------------------------------

bool refused(Work& work, const char* step) noexcept {
  work.step = step;
  work.error = errno;
  return false;
}

void close_one(int& file) noexcept {
  if (file >= 0) ::syscall(SYS_close, file);
  file = -1;
}

bool write_file(const char* path, const char* text) noexcept {
  int file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
  if (file < 0) return false;
  const bool written = ::syscall(SYS_write, file, text, std::strlen(text)) >= 0;
  const int error = errno;
  close_one(file);
  errno = error;
  return written;
}

bool set_option(const Work& work, const char* key, const char* value) noexcept {
  return ::syscall(SYS_fsconfig, work.context, fsconfig_set_string, key, value, 0) == 0;
}

// A size of 0 is no limit, as for memfds.
bool mount_and_open(Work& work) noexcept {
  work.context = static_cast<int>(::syscall(SYS_fsopen, "tmpfs", fsopen_cloexec));
  if (work.context < 0) return refused(work, "fsopen of a tmpfs");
  if (!set_option(work, "huge", "always")) return refused(work, "fsconfig huge=always");
  if (!set_option(work, "size", "0")) return refused(work, "fsconfig size=0");
  if (::syscall(SYS_fsconfig, work.context, fsconfig_create, nullptr, nullptr, 0) != 0)
    return refused(work, "fsconfig to create a tmpfs");
  work.mount = static_cast<int>(
      ::syscall(SYS_fsmount, work.context, fsmount_cloexec, mount_nosuid_nodev_noexec));
  if (work.mount < 0) return refused(work, "fsmount of a tmpfs");
  work.file = static_cast<int>(
      ::syscall(SYS_openat, work.mount, work.name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (work.file < 0) return refused(work, "open of a file of a tmpfs");
  (void)::syscall(SYS_unlinkat, work.mount, work.name, 0);
  return true;
}

bool enter_namespaces(Work& work) noexcept {
  if (::syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) != 0)
    return refused(work, "unshare(CLONE_NEWUSER | CLONE_NEWNS)");
  (void)write_file("/proc/self/setgroups", "deny");  // or gid_map may not be written
  if (!write_file("/proc/self/uid_map", work.uid_map.data()))
    return refused(work, "write of /proc/self/uid_map");
  if (!write_file("/proc/self/gid_map", work.gid_map.data()))
    return refused(work, "write of /proc/self/gid_map");
  return true;
}

// Ends this child after a while, by the default action of SIGALRM, and lets it write no core: it
// would be one of the parent's memory.
void limit_child() noexcept {
  const rlimit none{0, 0};
  (void)::syscall(SYS_prlimit64, 0, RLIMIT_CORE, &none, nullptr);
  const std::uint64_t default_action[4] = {};
  (void)::syscall(SYS_rt_sigaction, SIGALRM, &default_action, nullptr, kernel_mask_size);
  const std::uint64_t alarm_alone = std::uint64_t{1} << (SIGALRM - 1);
  (void)::syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &alarm_alone, nullptr, kernel_mask_size);
  const itimerval once{{0, 0}, {time_limit_s, 0}};
  (void)::syscall(SYS_setitimer, ITIMER_REAL, &once, nullptr);
}

int run_child(void* argument) noexcept {
  Work& work = *static_cast<Work*>(argument);
  std::uint64_t blocked = 0;
  if (::syscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &blocked, kernel_mask_size) != 0)
    return refused(work, "rt_sigprocmask") ? 0 : 1;
  limit_child();
  bool made = mount_and_open(work);
  if (!made && work.error == EPERM && work.mount < 0) {
    close_one(work.context);
    made = enter_namespaces(work) && mount_and_open(work);
  }
  close_one(work.context);
  close_one(work.mount);
  return made ? 0 : 1;
}

// --- in the parent -------------------------------------------------------------------------------

// Before Linux 5.16 a process that dies with a core, as by a seccomp filter, takes along all others
// of its memory (fs/coredump.c, zap_threads), even if no core may be written.
bool sandbox_would_kill_parent() noexcept {
  utsname machine;
  int major = 0;
  int minor = 0;
  if (::uname(&machine) != 0 || std::sscanf(machine.release, "%d.%d", &major, &minor) != 2)
    return true;
  constexpr int filtered = 2;  // SECCOMP_MODE_FILTER
  return (major < 5 || (major == 5 && minor < 16)) &&
         ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == filtered;
}

// Returns the signal that killed the child, or 0.
int run(Work& work) noexcept {
  const SharedChildEnd end = run_in_shared_child(run_child, &work, child_stack_size);
  if (end.call != nullptr) {
    work.step = end.call;
    work.error = end.error;
    return 0;
  }
  if (!WIFSIGNALED(end.status)) return 0;
  close_one(work.context);
  close_one(work.mount);
  close_one(work.file);
  return WTERMSIG(end.status);
}

}  // namespace

Result<OwnedFd> make_private_tmpfs_file(const char* name, std::size_t size) {
  SLUICE_TRY(check_file_size(name, size));
  if (::prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) > 0)
    return fail(ErrorCode::unsupported, "transparent huge pages are switched off for this process");
  if (under_valgrind())
    return fail(ErrorCode::unsupported, "valgrind ends programs that make such a child");
  if (shared_huge_pages_denied()) return fail(ErrorCode::unsupported, "shmem_enabled is deny");
  if (sandbox_would_kill_parent())
    return fail(ErrorCode::unsupported,
                "a sandbox that kills the child would end the program, before Linux 5.16");

  std::array<char, NAME_MAX> shown;
  std::snprintf(shown.data(), shown.size(), "memfd:%s", name);
  Work work{.name = shown.data(), .uid_map = {}, .gid_map = {}};
  std::snprintf(work.uid_map.data(), work.uid_map.size(), "0 %u 1", ::geteuid());
  std::snprintf(work.gid_map.data(), work.gid_map.size(), "0 %u 1", ::getegid());
  const NewDescriptors making;
  if (const int signal = run(work); signal != 0)
    return fail(ErrorCode::unsupported, "the child for it was killed by signal %d", signal);
  if (work.file < 0)
    return fail(ErrorCode::unsupported, "%s: %s", work.step, errno_name(work.error));
  OwnedFd file(work.file);
  if (!file.is_open()) return call_failed(errno, "open of a file of a tmpfs");
  if (calls().ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return call_failed(errno, "ftruncate of a file of a tmpfs");
  return file;
}

}  // namespace sluice::os
