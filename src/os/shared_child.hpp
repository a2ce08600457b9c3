// run_in_shared_child(): a function in a short-lived child that shares memory and descriptors.
//
// It is for steps that a thread of a program with several threads cannot take, or whose traces the
// program must not see. The child is one as of vfork(2): nothing is copied, however large the
// program is, no handler of fork runs, and the calling thread sleeps until it ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::os {

// The size of a signal mask that the kernel's own calls take, rt_sigprocmask(2) and its like.
inline constexpr std::size_t kernel_mask_size = sizeof(std::uint64_t);

struct SharedChildEnd {
  const char* call = nullptr;  // the refused call; null: the child ran
  int error = 0;               // of that call
  int status = 0;              // of a child that ran, as waitpid(2) has it
};

// The child has no exit signal: the program sees no SIGCHLD, and its own wait() does not find it
// (unless it asks for clones: __WALL, __WCLONE). All signals are blocked in it, if a sandbox does
// not refuse that. `run` makes system calls only; `stack`: bytes.
[[nodiscard]] SharedChildEnd run_in_shared_child(int (*run)(void*), void* argument,
                                                 std::size_t stack) noexcept;

}  // namespace sluice::os
