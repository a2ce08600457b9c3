// The default table of Linux calls, and the pointer to the table in force.
//
// One indirect call more than libc's own: under 2 ns, against 300 ns for the cheapest system call
// on a fault's path.
#include "os/calls.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace sluice::os {
namespace {

// Linux 5.17; absent from older headers.
#ifndef PR_SET_VMA
constexpr int PR_SET_VMA = 0x53564d41;
constexpr int PR_SET_VMA_ANON_NAME = 0;
#endif

int name_memory(void* address, std::size_t size, const char* name) {
  return ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, size, name);
}
int open_file(const char* path, int flags) { return ::open(path, flags); }
int userfaultfd(int flags) { return static_cast<int>(::syscall(SYS_userfaultfd, flags)); }
int control(int file, unsigned long request, void* argument) {
  return ::ioctl(file, request, argument);
}

constexpr Calls table_for_linux = {
    .mmap = ::mmap,
    .munmap = ::munmap,
    .mprotect = ::mprotect,
    .madvise = ::madvise,
    .name_memory = name_memory,
    .memfd_create = ::memfd_create,
    .ftruncate = ::ftruncate,
    .fallocate = ::fallocate,
    .lseek = ::lseek,
    .pwrite = ::pwrite,
    .open = open_file,
    .close = ::close,
    .read = ::read,
    .write = ::write,
    .userfaultfd = userfaultfd,
    .ioctl = control,
    .eventfd = ::eventfd,
    .poll = ::poll,
    .create_thread = ::pthread_create,
};

constinit std::atomic<const Calls*> in_force{&table_for_linux};

}  // namespace

const Calls& linux_calls() noexcept { return table_for_linux; }

const Calls& calls() noexcept { return *in_force.load(std::memory_order_acquire); }

void replace_calls(const Calls& table) noexcept {
  in_force.store(&table, std::memory_order_release);
}

}  // namespace sluice::os
