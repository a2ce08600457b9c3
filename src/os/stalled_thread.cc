// The kernel names the function in which a thread sleeps: for such an access that is
// handle_userfault.
//
// The kernel also gives the thread's instruction and stack pointers. Its code is the file in which
// the instruction is, or, behind the C library's own, the return address nearest on the stack.
// Costs a few calls for each thread of the process, so it is for lines that are written once. What
// it does not do: unwind the stack, where an old address may stand nearer than the caller's; see
// accesses that wait in a signal handler of ours, where the thread sleeps on a futex like any
// other.
#include "os/stalled_thread.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"

namespace sluice::os {
namespace {

constexpr std::size_t page = 4096;

// The records of getdents64(2).
struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

// The first line of a file of one thread; empty if it cannot be read.
OwnedFd open_to_read(const char* path) noexcept {
  const NewDescriptors making;
  return OwnedFd(::open(path, O_RDONLY | O_CLOEXEC));
}

template <std::size_t Size>
void read_first_line(char (&line)[Size], int thread, const char* file) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, file);
  line[0] = 0;
  const OwnedFd opened = open_to_read(path);
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

// The C and C++ libraries access memory for others.
bool is_common(const char* file) {
  for (const char* name : {"libc.", "libc-", "libstdc++.", "ld-"})
    if (std::strncmp(file, name, std::strlen(name)) == 0) return true;
  return false;
}

// The instruction, and the words on the stack above it.
struct Frames {
  std::uintptr_t words[513] = {};
  std::size_t count = 0;
};

// proc_pid_syscall(5): the last two words of the line are the stack's and the instruction's
// pointers. Empty if the thread runs meanwhile.
void read_frames(Frames& frames, int thread) {
  char line[256];
  read_first_line(line, thread, "syscall");
  char* const last = std::strrchr(line, ' ');
  if (last == nullptr) return;
  *last = 0;
  const char* const before = std::strrchr(line, ' ');
  if (before == nullptr) return;
  frames.words[0] = std::strtoull(last + 1, nullptr, 16);
  frames.count = 1;
  // By the kernel: the stack may end, and its owner may go on.
  const std::uintptr_t stack = std::strtoull(before + 1, nullptr, 16);
  iovec to{frames.words + 1, sizeof(frames.words) - sizeof(frames.words[0])};
  // Up to the end of the page, then the next one: what is not there is not read.
  const std::size_t here = page - stack % page;
  iovec from[] = {{reinterpret_cast<void*>(stack), here},  // NOLINT(performance-no-int-to-ptr)
                  {reinterpret_cast<void*>(stack + here),  // NOLINT(performance-no-int-to-ptr)
                   to.iov_len - here}};
  const ssize_t size = ::process_vm_readv(::getpid(), &to, 1, from, here < to.iov_len ? 2 : 1, 0);
  if (size > 0) frames.count += static_cast<std::size_t>(size) / sizeof(frames.words[0]);
}

// Gives `use` each line of /proc/self/maps.
template <typename Use>
void read_maps(Use&& use) {
  const OwnedFd maps = open_to_read("/proc/self/maps");
  char text[4352];
  std::size_t kept = 0;
  while (maps.is_open()) {
    const ssize_t size = ::read(maps.get(), text + kept, sizeof(text) - 1 - kept);
    if (size <= 0) return;
    const std::size_t filled = kept + static_cast<std::size_t>(size);
    text[filled] = 0;
    char* line = text;
    for (char* end = nullptr; (end = std::strchr(line, '\n')) != nullptr; line = end + 1) {
      *end = 0;
      use(line);
    }
    kept = static_cast<std::size_t>(text + filled - line);
    if (kept == sizeof(text) - 1) return;  // longer than any path
    std::memmove(text, line, kept);
  }
}

void find_code(StalledThread& thread) {
  char program[512];
  const ssize_t length = ::readlink("/proc/self/exe", program, sizeof(program) - 1);
  program[std::max<ssize_t>(length, 0)] = 0;
  Frames frames;
  read_frames(frames, thread.id);
  std::size_t nearest = frames.count;
  std::strcpy(thread.code, "unknown code");
  read_maps([&](const char* line) {
    char* end = nullptr;
    const std::uintptr_t first = std::strtoull(line, &end, 16);
    const std::uintptr_t last = *end == '-' ? std::strtoull(end + 1, &end, 16) : 0;
    const char* const path = std::strchr(end, '/');
    if (path == nullptr || std::strncmp(end, " r-x", 4) != 0) return;
    const char* const file = std::strrchr(path, '/') + 1;
    if (is_common(file)) return;
    for (std::size_t i = 0; i < nearest; ++i) {
      if (frames.words[i] < first || frames.words[i] >= last) continue;
      nearest = i;
      std::snprintf(thread.code, sizeof thread.code, "%.31s", file);
      thread.in_program = std::strcmp(path, program) == 0;
    }
  });
}

}  // namespace

std::size_t find_stalled_threads(std::span<StalledThread> found) noexcept {
  std::size_t count = 0;
  const OwnedFd folder = open_to_read("/proc/self/task");
  alignas(DirectoryEntry) char entries[2048];
  while (folder.is_open()) {
    const long size = ::syscall(SYS_getdents64, folder.get(), entries, sizeof entries);
    if (size <= 0) break;
    for (long at = 0; at < size && count < found.size();) {
      const auto* const entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->length;
      const int thread = std::atoi(entry->name);
      if (thread == 0 || !is_stalled(thread)) continue;
      found[count].id = thread;
      read_first_line(found[count].name, thread, "comm");
      find_code(found[count++]);
    }
  }
  return count;
}

}  // namespace sluice::os
