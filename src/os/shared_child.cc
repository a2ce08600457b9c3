// See shared_child.hpp. Cost: 0.02 to 0.2 ms. What it does not do: bound the child's time; the
// child does that itself.
#include "os/shared_child.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include <cerrno>
#include <cstdint>

#include "os/calls.hpp"

namespace sluice::os {
namespace {

// clone(2) by its other name in libc: ThreadSanitizer takes every call of clone() for a fork.
extern "C" int clone_sharing_memory(int (*run)(void*), void* stack, int flags, void* argument,
                                    ...) __asm__("__clone");

}  // namespace

SharedChildEnd run_in_shared_child(int (*run)(void*), void* argument, std::size_t stack) noexcept {
  void* const bottom = calls().mmap(nullptr, stack, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (bottom == MAP_FAILED) return {"mmap", errno};
#if defined(__SANITIZE_ADDRESS__)
  // A child that a signal ended has left the marks of its frames where its stack was, maybe here.
  __asan_unpoison_memory_region(bottom, stack);
#endif
  // All signals, also those that libc keeps for itself and leaves out of sets: no handler of the
  // program may run in the child, and no cancellation.
  const std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t before = 0;
  const bool blocked =
      ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kernel_mask_size) == 0;
  SharedChildEnd end;
  const int child = clone_sharing_memory(run, static_cast<char*>(bottom) + stack,
                                         CLONE_VM | CLONE_VFORK | CLONE_FILES, argument);
  if (child < 0) end = {"clone", errno};
  // wait4 itself: libc's waitpid is a cancellation point. The child is at its end already.
  while (child > 0 && ::syscall(SYS_wait4, child, &end.status, __WALL, nullptr) < 0 &&
         errno == EINTR) {
  }
  if (blocked) (void)::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kernel_mask_size);
  calls().munmap(bottom, stack);
  return end;
}

}  // namespace sluice::os
