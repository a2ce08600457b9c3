// A descriptor of its own: the features are chosen once for each. EVENT_FORK is not among them,
// with which fork() would wait for this thread.
#include "face/kfd/transport/unmap_watch.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/errors.hpp"
#include "os/report.hpp"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1  // Linux 5.11
#endif

namespace sluice::kfd {

void UnmapWatch::open() {
  was_tried_ = true;
  file_ = os::OwnedFd(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
  uffdio_api api = {.api = UFFD_API,
                    .features = UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP,
                    .ioctls = 0};
  const bool is_open = file_.is_open() && ::ioctl(file_.get(), UFFDIO_API, &api) == 0;
  const int error = errno;
  auto started = is_open ? os::Thread::start("sluice-kfd-gone", [this] { run(); })
                         : fail(ErrorCode::unsupported, "%s", os::errno_name(error));
  if (started) {
    thread_ = *std::move(started);
    return;
  }
  file_.reset();
  os::report("userfaultfd: %.*s; memory with attributes keeps them after munmap() (docs/kfd.md)",
             static_cast<int>(started.error().detail().size()), started.error().detail().data());
}

void UnmapWatch::add(std::uint64_t address, std::uint64_t size) {
  if (!was_tried_) open();
  if (!file_.is_open() || !file_.is_intact()) return;
  uffdio_register watched = {
      .range = {.start = address, .len = size}, .mode = UFFDIO_REGISTER_MODE_WP, .ioctls = 0};
  (void)::ioctl(file_.get(), UFFDIO_REGISTER, &watched);
}

void UnmapWatch::run() noexcept {
  while (true) {
    pollfd waiting{.fd = file_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) return;
    if (!file_.is_intact()) return;
    turn_();
  }
}

UnmapWatch::Gone UnmapWatch::read() noexcept {
  uffd_msg message{};
  if (::read(file_.get(), &message, sizeof message) != sizeof message) return {};
  if (message.event == UFFD_EVENT_REMAP) return {message.arg.remap.from, message.arg.remap.len};
  if (message.event != UFFD_EVENT_UNMAP) return {};
  return {message.arg.remove.start, message.arg.remove.end - message.arg.remove.start};
}

}  // namespace sluice::kfd
