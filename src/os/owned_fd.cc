// Takes descriptors over: moves them above 2, and notes them for forked children. Costs two or
// three system calls each.
#include "os/owned_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/fork_guard.hpp"
#include "os/owned_fd_in_handler.hpp"

namespace sluice::os {
namespace {

// Programs print to 1 and 2 and read from 0, even if they have closed them.
int above_standard_ones(int file) noexcept {
  if (file > STDERR_FILENO || file < 0) return file;
  const int moved = ::fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno == EINVAL ? EMFILE : errno;  // the limit is below the first that will do
  calls().close(file);
  errno = error;
  return moved;
}

}  // namespace

OwnedFd::OwnedFd(int file) noexcept : file_(above_standard_ones(file)) {
  struct stat facts = {};
  if (file_ < 0 || ::fstat(file_, &facts) != 0) return;
  device_ = facts.st_dev;
  inode_ = facts.st_ino;
  const int flags = ::fcntl(file_, F_GETFD);
  if (flags >= 0 && (flags & FD_CLOEXEC) == 0) (void)::fcntl(file_, F_SETFD, flags | FD_CLOEXEC);
  in_handler::note_owned(file_, device_, inode_);
}

bool OwnedFd::is_intact() const noexcept {
  return file_ >= 0 && in_handler::names(file_, device_, inode_);
}

int OwnedFd::release() noexcept {
  if (file_ >= 0) in_handler::forget_owned(file_);
  return std::exchange(file_, -1);
}

void OwnedFd::reset() noexcept {
  if (file_ < 0) return;
  // The number is another file's once it is closed, so it is forgotten first.
  const ForkPause no_fork;
  in_handler::forget_owned(file_);
  // Never retried: Linux frees the number even on EINTR.
  if (is_intact()) calls().close(file_);
  file_ = -1;
}

}  // namespace sluice::os
