// A device process is nobody's child here (child.cc), so wait(2) tells how it ended only where this
// process adopts orphans. Elsewhere /proc/PID/stat tells until the process that adopted it has
// collected it (proc_pid_stat(5), exit_code), and since Linux 6.15 ioctl PIDFD_GET_INFO after that
// (include/uapi/linux/pidfd.h). An adopter that never collects, as the first process of many
// containers, is not waited for.
//
// Cost: some system calls, after a device process has failed only. What it does not do: tell of an
// exit status of 0 until the process was collected. That file has 0 where it may not be read, too.
#include "device/soft/process_end.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/deadline.hpp"
#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"
#include "os/poll_files.hpp"

namespace sluice::device::soft {
namespace {

// struct pidfd_info in its first size. The headers of most systems are older than it.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::array<std::uint32_t, 11> identities;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t info_exit = 1 << 3;
constexpr unsigned long get_info = _IOWR(0xFF, 11, PidfdInfo);

void await_end(int pidfd, const Deadline& until) noexcept {
  pollfd polled{pidfd, POLLIN, 0};
  while (os::poll_files(&polled, 1, until.poll_timeout()) < 0 && errno == EINTR) {
  }
}

std::string text_of_signal(int number) {
  std::array<char, 64> text{};
  const char* const name = sigdescr_np(number);
  std::snprintf(text.data(), text.size(), " (signal %d, %s)", number,
                name != nullptr ? name : "unknown");
  return text.data();
}
std::string text_of_status(int status) { return " (exit status " + std::to_string(status) + ")"; }

// All in wait's form, or nothing where that source does not tell.
std::optional<int> status_from_proc(int pidfd, pid_t process) noexcept {
  std::array<char, 1024> text{};
  {
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/stat", process);
    const os::NewDescriptors making;
    const os::OwnedFd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open() || ::read(file.get(), text.data(), text.size() - 1) <= 0) return {};
  }
  // The number may be that of another process by now: it was this one's if this one is still there.
  if (::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) != 0) return {};
  const char* at = std::strrchr(text.data(), ')');  // a name may have anything in it
  constexpr int fields_from_there = 50;             // the state is the first, exit_code the last
  for (int field = 0; at != nullptr && field < fields_from_there; ++field)
    at = std::strchr(at + 1, ' ');
  const int status = at == nullptr ? 0 : static_cast<int>(std::strtol(at, nullptr, 10));
  return status == 0 ? std::nullopt : std::optional(status);
}

std::optional<int> status_from_pidfd(int pidfd) noexcept {
  PidfdInfo info = {};
  info.mask = info_exit;
  if (::ioctl(pidfd, get_info, &info) != 0 || (info.mask & info_exit) == 0) return {};
  return info.exit_code;
}

}  // namespace

std::string collect_end(int pidfd, pid_t process, std::chrono::milliseconds limit) {
  await_end(pidfd, Deadline::after(limit));
  siginfo_t ended = {};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &ended, WEXITED | WNOHANG) == 0) {
    if (ended.si_pid == 0) return {};
    return ended.si_code == CLD_EXITED ? text_of_status(ended.si_status)
                                       : text_of_signal(ended.si_status);
  }
  std::optional<int> status = status_from_proc(pidfd, process);
  if (!status) status = status_from_pidfd(pidfd);
  if (!status) return {};
  return WIFSIGNALED(*status) ? text_of_signal(WTERMSIG(*status))
                              : text_of_status(WEXITSTATUS(*status));
}

}  // namespace sluice::device::soft
