// Files that stand in for closed descriptors 0 to 2. See the notice in the header.
//
// A file that was opened with O_PATH refuses reading and writing with EBADF, as a closed number
// does, so other threads of the program see no difference when they print.
//
// Cost: three system calls, 0.3 us, where nothing is closed. What it does not do: hide from a
// thread that opens a file meanwhile that the lowest number is another one.
#include "os/standard_numbers_in_handler.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "os/owned_fd_in_handler.hpp"

namespace sluice::os::in_handler {
namespace {

constexpr int vacating = -1;
constinit std::atomic<int> occupants{0};  // threads that want them occupied, or `vacating`

struct StandIn {
  std::atomic<bool> is_open;
  dev_t device;
  ino_t inode;
};
constinit StandIn stand_ins[STDERR_FILENO + 1] = {};

bool is_closed(int number) noexcept {
  return ::syscall(SYS_fcntl, number, F_GETFD) < 0 && errno == EBADF;
}

// False if there is none of these numbers left, or Linux refuses.
bool open_stand_in() noexcept {
  const int file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_CLOEXEC));
  struct stat facts = {};
  if (file > STDERR_FILENO || (file >= 0 && ::fstat(file, &facts) != 0)) {
    ::syscall(SYS_close, file);
    return false;
  }
  if (file < 0) return false;
  stand_ins[file].device = facts.st_dev;
  stand_ins[file].inode = facts.st_ino;
  stand_ins[file].is_open.store(true);
  note_owned(file, facts.st_dev, facts.st_ino);
  return true;
}

// The program may have put a file of its own there.
void close_stand_in(int number) noexcept {
  StandIn& stand_in = stand_ins[number];
  if (!stand_in.is_open.exchange(false)) return;
  forget_owned(number);
  const long flags = ::syscall(SYS_fcntl, number, F_GETFL);
  if (flags >= 0 && (flags & O_PATH) != 0 && names(number, stand_in.device, stand_in.inode))
    ::syscall(SYS_close, number);
}

}  // namespace

void occupy_standard_numbers() noexcept {
  const int error = errno;
  int count = occupants.load();
  while (count == vacating || !occupants.compare_exchange_weak(count, count + 1)) {
    if (count == vacating) ::sched_yield();
    count = occupants.load();
  }
  for (int number = 0; number <= STDERR_FILENO; ++number) {
    while (is_closed(number) && open_stand_in()) {
    }
  }
  errno = error;
}

void vacate_standard_numbers() noexcept {
  int count = occupants.load();
  do {
    if (count <= 0) return;  // this is a child that was forked meanwhile
  } while (!occupants.compare_exchange_weak(count, count == 1 ? vacating : count - 1));
  if (count != 1) return;
  const int error = errno;
  for (int number = 0; number <= STDERR_FILENO; ++number) close_stand_in(number);
  errno = error;
  occupants.store(0);
}

void forget_standard_numbers() noexcept {
  occupants.store(0);
  for (StandIn& stand_in : stand_ins) stand_in.is_open.store(false);
}

}  // namespace sluice::os::in_handler
