// A device process is nobody's child here (child.cc), so wait(2) tells how it ended only where this
// process adopts orphans. Elsewhere Linux tells by ioctl PIDFD_GET_INFO, since 6.15 and once the
// process that adopted it has collected it (include/uapi/linux/pidfd.h). Older ones do not tell.
//
// Cost: some system calls, after a device process has failed only.
#include "device/soft/process_end.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/deadline.hpp"
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

void await_poll(int file, short events, const Deadline& until) noexcept {
  pollfd polled{file, events, 0};
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

// The status in wait's form, once the process was collected; nothing where Linux does not tell.
std::optional<int> status_of(int pidfd, const Deadline& until) noexcept {
  for (const bool last : {false, true}) {
    PidfdInfo info = {};
    info.mask = info_exit;
    if (::ioctl(pidfd, get_info, &info) != 0) return {};
    if ((info.mask & info_exit) != 0) return info.exit_code;
    if (!last) await_poll(pidfd, 0, until);  // hung up: it was collected
  }
  return {};
}

}  // namespace

std::string collect_end(int pidfd, std::chrono::milliseconds limit) {
  const Deadline until = Deadline::after(limit);
  await_poll(pidfd, POLLIN, until);
  siginfo_t ended = {};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &ended, WEXITED | WNOHANG) == 0) {
    if (ended.si_pid == 0) return {};
    return ended.si_code == CLD_EXITED ? text_of_status(ended.si_status)
                                       : text_of_signal(ended.si_status);
  }
  const std::optional<int> status = status_of(pidfd, until);
  if (!status) return {};
  return WIFSIGNALED(*status) ? text_of_signal(WTERMSIG(*status))
                              : text_of_status(WEXITSTATUS(*status));
}

}  // namespace sluice::device::soft
