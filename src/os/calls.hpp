// Calls: the table of Linux calls that the library makes on behalf of managed memory.
//
// Everything under os/ and fault/ goes through this table. Tests replace it with a table of their
// own and make the n-th call of a kind fail; the code under test is unchanged. The defaults are
// libc's functions, so sanitizers still see every call. Each entry has exactly the contract of its
// manual page.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstddef>

namespace sluice::os {

struct Calls {
  // Memory
  void* (*mmap)(void* address, std::size_t size, int protection, int flags, int file, off_t offset);
  int (*munmap)(void* address, std::size_t size);
  int (*mprotect)(void* address, std::size_t size, int protection);
  int (*madvise)(void* address, std::size_t size, int advice);
  int (*name_memory)(void* address, std::size_t size,
                     const char* name);  // prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)

  // Files
  int (*memfd_create)(const char* name, unsigned flags);
  int (*ftruncate)(int file, off_t size);
  int (*fallocate)(int file, int mode, off_t offset, off_t size);
  off_t (*lseek)(int file, off_t offset, int whence);
  ssize_t (*pwrite)(int file, const void* buffer, std::size_t size, off_t offset);
  int (*open)(const char* path, int flags);
  int (*close)(int file);
  ssize_t (*read)(int file, void* buffer, std::size_t size);
  ssize_t (*write)(int file, const void* buffer, std::size_t size);

  // Events
  int (*userfaultfd)(int flags);  // the system call
  int (*ioctl)(int file, unsigned long request, void* argument);
  int (*eventfd)(unsigned value, int flags);
  int (*poll)(pollfd* files, nfds_t count, int timeout_ms);

  // Threads; gives back an errno, as pthread_create does
  int (*create_thread)(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                       void* argument);
};

// The table that goes to Linux.
[[nodiscard]] const Calls& linux_calls() noexcept;

// The table in force.
[[nodiscard]] const Calls& calls() noexcept;

// Puts `table` in force for the whole process until the next call; it must outlive that. Tests
// only.
void replace_calls(const Calls& table) noexcept;

}  // namespace sluice::os
