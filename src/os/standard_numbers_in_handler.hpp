// PLEASE READ before changing: this code also runs in the child between fork and the return of
// fork. Other threads' locks may be held for ever there. No allocation, no stdio, no locks;
// lock-free atomics, system calls and our own arithmetic only. Add no includes.
#pragma once

namespace sluice::os::in_handler {

// Occupies those of the numbers 0 to 2 that are closed, and gives them back; for
// new_descriptors.hpp alone. Several threads may do so at once: the last gives back. Keeps errno.
void occupy_standard_numbers() noexcept;
void vacate_standard_numbers() noexcept;

// In a forked child, whose copies of what occupies them are closed by close_owned_in_child().
void forget_standard_numbers() noexcept;

}  // namespace sluice::os::in_handler
