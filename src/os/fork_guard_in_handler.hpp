// PLEASE READ before changing: this code runs in the child between fork and the return of fork, or
// inside a SIGSEGV handler. Other threads' locks may be held for ever there. No allocation, no
// stdio, no locks; lock-free atomics, system calls and our own arithmetic only. Add no includes.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

namespace sluice::os::in_handler {

struct GuardedWindow {
  std::atomic<std::uintptr_t> begin;
  std::atomic<std::uintptr_t> size;  // 0: a free slot
};

inline constexpr int window_limit = 64;
extern GuardedWindow windows[window_limit];

// A handler that stands in for the default action: a child may do without it.
extern std::atomic<void (*)(int, siginfo_t*, void*)> stands_for_default;

// The child handler of pthread_atfork.
void close_windows_in_child() noexcept;

}  // namespace sluice::os::in_handler
