// PLEASE READ before changing: everything here runs inside a signal handler. No allocation, no
// stdio, no locks, no thread-local objects. Add no includes. It is also compiled into the guard,
// which must not need the C++ library.
//
// Tools for a handler that stands in front of others: it runs its own work on a stack of its own,
// lets another handler begin as if the kernel had called it, and ends the process as the signal
// would have without it.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace sluice::os::in_handler {

// A signal set as Linux passes it: bit n-1 is signal n.
using KernelMask = std::uint64_t;
constexpr KernelMask bit_of(int signal) noexcept { return KernelMask{1} << (signal - 1); }

// A system call that bypasses libc and all preloads: returns a result, or a negative errno.
long raw_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
              long f = 0) noexcept;

// The signal mask that takes effect when the handler returns.
[[nodiscard]] KernelMask& mask_in(ucontext_t& context) noexcept;

// True if the signal comes from an instruction and not from kill(). Only then is si_addr valid.
[[nodiscard]] constexpr bool is_fault(const siginfo_t& info) noexcept { return info.si_code > 0; }
// The same, and it has an address (SI_KERNEL, for an address that no pointer can have, has none).
[[nodiscard]] constexpr bool has_address(const siginfo_t& info) noexcept {
  return info.si_code > 0 && info.si_code < 0x80;
}
[[nodiscard]] bool is_store(const ucontext_t& context) noexcept;
// True if the access fetches the instruction itself.
[[nodiscard]] bool is_fetch(const ucontext_t& context) noexcept;

// Sets the kernel's mask of this thread; swap_mask gives back the one before.
void set_mask(KernelMask mask) noexcept;
[[nodiscard]] KernelMask swap_mask(KernelMask mask) noexcept;

using Entry = void (*)(int, siginfo_t*, void*);

// Leaves the running handler and begins `entry` in its place: on the stack that the kernel would
// have chosen for a handler with SA_ONSTACK or without, with the kernel's frame above it and no
// other, and with `mask` in force. `info` and `context` are the running handler's arguments from
// the kernel, which must have called it.
[[noreturn]] void begin_handler(Entry entry, bool on_alternate_stack, KernelMask mask, int signal,
                                siginfo_t* info, ucontext_t* context) noexcept;

// Puts the default action in force, so that the signal ends the process as soon as the running
// handler returns: by the same fault again, or by the same signal sent again with all that it
// carried.
void end_by_default(int signal, siginfo_t* info, ucontext_t* context) noexcept;

// Calls `work(argument)` on a stack of our own, however many threads do so at once
// (signal_frame_stacks_in_handler.cc). A program's own stack, above all an alternate one, may be
// far too small for the work. The call may wait until another thread's work is done, so the work
// must not wait for another thread's handler.
void call_on_own_stack(void (*work)(void*), void* argument) noexcept;

// Maps the stacks that are kept; false if there is no memory. May be called again.
bool prepare_stacks() noexcept;

}  // namespace sluice::os::in_handler
