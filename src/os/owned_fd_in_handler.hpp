// PLEASE READ before changing: this code also runs in the child between fork and the return of
// fork. Other threads' locks may be held for ever there. No allocation, no stdio, no locks;
// lock-free atomics, system calls and our own arithmetic only. Add no includes.
#pragma once

#include <sys/types.h>

namespace sluice::os::in_handler {

// True if the descriptor names that file now, as far as Linux tells.
[[nodiscard]] bool names(int file, dev_t device, ino_t inode) noexcept;

// Notes and forgets a descriptor that a forked child shall close.
void note_owned(int file, dev_t device, ino_t inode) noexcept;
void forget_owned(int file) noexcept;

// Closes the child's copies of all noted descriptors that still name their files. The memory that
// they would keep alive is the parent's.
void close_owned_in_child() noexcept;

}  // namespace sluice::os::in_handler
