// The kernel names the function in which a thread sleeps: for such an access that is
// handle_userfault.
//
// Costs a few calls for each thread of the process, so it is for lines that are written once. What
// it does not do: see accesses that wait in a signal handler of ours, where the thread sleeps on a
// futex like any other.
#include "os/stalled_thread.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "os/owned_fd.hpp"

namespace sluice::os {
namespace {

// The records of getdents64(2).
struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

// The first line of a file of one thread; empty if it cannot be read.
template <std::size_t Size>
void read_first_line(char (&line)[Size], int thread, const char* file) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, file);
  line[0] = 0;
  const OwnedFd opened(::open(path, O_RDONLY | O_CLOEXEC));
  if (!opened.is_open()) return;
  const ssize_t size = ::read(opened.get(), line, Size - 1);
  line[size < 0 ? 0 : size] = 0;
  line[std::strcspn(line, "\n")] = 0;
}

bool is_stalled(int thread) {
  char where[64];
  read_first_line(where, thread, "wchan");
  return std::strcmp(where, "handle_userfault") == 0;
}

}  // namespace

StalledThread find_stalled_thread() noexcept {
  StalledThread found;
  const OwnedFd folder(::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return found;
  alignas(DirectoryEntry) char entries[2048];
  while (true) {
    const long size = ::syscall(SYS_getdents64, folder.get(), entries, sizeof entries);
    if (size <= 0) return found;
    for (long at = 0; at < size;) {
      const auto* const entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->length;
      const int thread = std::atoi(entry->name);
      if (thread == 0 || !is_stalled(thread)) continue;
      found.id = thread;
      read_first_line(found.name, thread, "comm");
      return found;
    }
  }
}

}  // namespace sluice::os
