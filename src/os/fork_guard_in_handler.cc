// The part of the fork guard that runs in a forked child. See the notice in the header.
//
// Costs one mmap a window and fork (about 3 us); nothing in the parent.
#include "os/fork_guard_in_handler.hpp"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/calls.hpp"

namespace sluice::os::in_handler {

constinit GuardedWindow windows[window_limit] = {};
constinit std::atomic<void (*)(int, siginfo_t*, void*)> stands_for_default{nullptr};

namespace {

bool is_guarded(std::uintptr_t address) noexcept {
  for (const GuardedWindow& window : windows) {
    const std::uintptr_t begin = window.begin.load(std::memory_order_relaxed);
    if (address - begin < window.size.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

// Writes one line in one call, so that other writers do not interleave.
void say_what_happened(std::uintptr_t address) noexcept {
  char line[] =
      "sluice: access to 0x................ in a forked child: managed memory is not inherited by "
      "fork; "
      "see docs/host-side.md\n";
  constexpr int digits_begin = 20;
  for (int digit = 0; digit < 16; ++digit)
    line[digits_begin + digit] = "0123456789abcdef"[address >> (60 - 4 * digit) & 15];
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, sizeof line - 1);
}

// Any other SIGSEGV kills the process as it would have without us: the default is put back, a real
// fault faults again at the same instruction, and a sent signal is sent again with all that it
// carried.
void on_segmentation_fault(int signal, siginfo_t* info, void*) noexcept {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const bool is_fault = info->si_code > 0 && info->si_code < 0x80;
  if (is_fault && is_guarded(address)) say_what_happened(address);
  struct sigaction native = {};
  native.sa_handler = SIG_DFL;
  ::sigaction(signal, &native, nullptr);
  if (!is_fault) ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::syscall(SYS_gettid), signal, info);
  errno = saved_errno;
}

bool is_default(const struct sigaction& action) noexcept {
  if ((action.sa_flags & SA_SIGINFO) == 0) return action.sa_handler == SIG_DFL;
  return action.sa_sigaction == stands_for_default.load(std::memory_order_relaxed);
}

}  // namespace

void close_windows_in_child() noexcept {
  const int saved_errno = errno;
  bool any = false;
  for (const GuardedWindow& window : windows) {
    const std::uintptr_t size = window.size.load(std::memory_order_relaxed);
    if (size == 0) continue;
    any = true;
    void* const begin = reinterpret_cast<void*>(window.begin.load(std::memory_order_relaxed));
    if (calls().mmap(begin, size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED)
      (void)calls().name_memory(begin, size, "sluice: not inherited by fork");
  }
  struct sigaction current = {};
  if (any && ::sigaction(SIGSEGV, nullptr, &current) == 0 && is_default(current)) {
    struct sigaction ours = {};
    ours.sa_sigaction = on_segmentation_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigaction(SIGSEGV, &ours, nullptr);
  }
  errno = saved_errno;
}

}  // namespace sluice::os::in_handler
