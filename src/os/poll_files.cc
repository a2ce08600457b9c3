// Tries poll(2) first; where it refuses the count, or a sandbox refuses poll, uses select(2), which
// has no such limit. Its sets do not hold descriptors from 65536 up; for those the caller looks
// again every 10 ms.
#include "os/poll_files.hpp"

#include <fcntl.h>
#include <sys/select.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "os/calls.hpp"

namespace sluice::os {
namespace {

constexpr int word_bits = 8 * sizeof(unsigned long);
using Set = std::array<unsigned long, 65536 / word_bits>;

unsigned long& word_of(Set& set, int file) noexcept {
  return set[static_cast<std::size_t>(file / word_bits)];
}
unsigned long bit_of(int file) noexcept { return 1UL << file % word_bits; }

bool is_closed(int file) noexcept { return ::fcntl(file, F_GETFD) < 0; }

int look_again_soon(int timeout_ms) noexcept {
  const long ms = timeout_ms < 0 ? 10 : std::min(timeout_ms, 10);
  const timespec pause = {0, ms * 1000000};
  ::nanosleep(&pause, nullptr);
  return 0;
}

// poll reports closed descriptors; select refuses them.
int count_closed(std::span<pollfd> files) noexcept {
  int closed = 0;
  for (pollfd& file : files) {
    file.revents = file.fd >= 0 && is_closed(file.fd) ? POLLNVAL : 0;
    closed += file.revents != 0 ? 1 : 0;
  }
  return closed;
}

int select_instead(std::span<pollfd> files, int timeout_ms) noexcept {
  if (const int closed = count_closed(files); closed != 0) return closed;
  Set to_read{};
  Set to_write{};
  int end = 0;
  for (const pollfd& file : files) {
    if (file.fd < 0) continue;
    if (file.fd >= static_cast<int>(to_read.size()) * word_bits) return look_again_soon(timeout_ms);
    if ((file.events & POLLIN) != 0) word_of(to_read, file.fd) |= bit_of(file.fd);
    if ((file.events & POLLOUT) != 0) word_of(to_write, file.fd) |= bit_of(file.fd);
    end = std::max(end, file.fd + 1);
  }
  timeval left = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  const int ready = ::select(end, reinterpret_cast<fd_set*>(to_read.data()),
                             reinterpret_cast<fd_set*>(to_write.data()), nullptr,
                             timeout_ms < 0 ? nullptr : &left);
  if (ready <= 0) return ready;
  int count = 0;
  for (pollfd& file : files) {
    if (file.fd < 0) continue;
    if ((word_of(to_read, file.fd) & bit_of(file.fd)) != 0) file.revents |= POLLIN;
    if ((word_of(to_write, file.fd) & bit_of(file.fd)) != 0) file.revents |= POLLOUT;
    count += file.revents != 0 ? 1 : 0;
  }
  return count;
}

}  // namespace

int poll_files(pollfd* files, nfds_t count, int timeout_ms) noexcept {
  const int ready = calls().poll(files, count, timeout_ms);
  if (ready >= 0 || (errno != EINVAL && errno != EPERM && errno != ENOSYS)) return ready;
  return select_instead({files, count}, timeout_ms);
}

}  // namespace sluice::os
