// Finds the threads of this process that are blocked in an access to memory watched by userfaultfd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::os {

struct StalledThread {
  std::int32_t id = 0;
  char name[16] = {};
  // The file of the program or library whose code made the access, or called the C library for it;
  // "unknown code" where the kernel does not tell.
  char code[32] = {};
  bool in_program = false;  // the code is of the program's own file, and of no library
};

// As many as there is room for, in the order of the kernel (proc_pid_wchan(5)); their number.
// Allocates nothing and takes no lock, because such a thread may hold the allocator's or the
// dynamic linker's.
[[nodiscard]] std::size_t find_stalled_threads(std::span<StalledThread> found) noexcept;

}  // namespace sluice::os
