// OpenFiles: which descriptors of this process are /dev/kfd or a render node.
//
// Such a file is a memory file, so that mmap() of it needs no help. It is known by its inode, which
// stays with it through dup() and fork() and in every table of descriptors; so close() and its like
// need not be watched. A descriptor of our own keeps the inode from being used again, and stays
// until the process ends.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>

#include "os/owned_fd.hpp"

namespace sluice::kfd {

struct OpenFile {
  dev_t device = 0;
  ino_t inode = 0;
  int gpu = -1;              // -1: /dev/kfd
  std::uint64_t number = 0;  // of the opening; not used twice in a process
  pid_t process = 0;         // that opened it
  os::OwnedFd own;           // closed in a forked child
};

class OpenFiles {
 public:
  // Opens /dev/kfd (-1) or the render node of a GPU, with O_CLOEXEC if the flags say so. -1 and
  // errno if it cannot be done.
  static int open(int gpu, int flags) noexcept;

  // Null: it is none of these. Takes no lock.
  static const OpenFile* find(int descriptor) noexcept;
  static const OpenFile* find_number(std::uint64_t number) noexcept;
  // That of /dev/kfd, which all of its descriptors share; null before it is opened.
  static const OpenFile* find_kfd() noexcept;
  // The file's status as that of the device that it stands for.
  static void describe(const OpenFile& file, struct stat& status) noexcept;
  static void describe_device(int gpu, struct stat& status) noexcept;
};

}  // namespace sluice::kfd
