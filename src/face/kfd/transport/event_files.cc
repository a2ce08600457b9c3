// Masks are looked at when there is something to tell.
#include "face/kfd/transport/event_files.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace sluice::kfd {

int EventFiles::open(int gpu) {
  std::array<int, 2> ends{};
  // Reads never wait, and the file outlives exec(): kfd_smi_ev_read, kfd_smi_event_open.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) != 0) return -errno;
  Follower fresh{.gpu = gpu, .mask = 0, .file = os::OwnedFd(ends[1])};
  if (!fresh.file.is_open()) {
    ::close(ends[0]);
    return -EMFILE;
  }
  followers_.push_back(std::move(fresh));
  return ends[0];
}

bool EventFiles::read_masks(Follower& follower) noexcept {
  if (!follower.file.is_intact()) return false;
  while (true) {
    std::uint64_t mask = 0;
    const ssize_t got = ::recv(follower.file.get(), &mask, sizeof mask, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    if (got == sizeof mask) follower.mask = mask;
  }
}

void EventFiles::tell(int gpu, std::uint32_t event, std::string_view line) noexcept {
  std::erase_if(followers_, [&](Follower& each) {
    if (each.gpu != gpu) return false;
    if (!read_masks(each)) return true;
    if ((each.mask >> (event - 1) & 1) != 0)
      (void)::send(each.file.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return false;
  });
}

}  // namespace sluice::kfd
