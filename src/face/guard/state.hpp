// Shared by all parts of the guard: the reserved signal, the two forms of a mask, the program's
// actions, the drivers.
//
// A mask has two forms. The program sets and sees the **program's** form. In the **kernel's** form
// the bit of SIGSEGV is never set; where the program blocks SIGSEGV, the proxy signal is blocked in
// its place. So faults on managed memory are always delivered, and yet everything that saves,
// restores and inherits masks (siglongjmp, swapcontext, sigreturn, threads) keeps the program's
// setting.
//
// The guard is preloaded into programs in C: nothing here needs the C++ library, and nothing
// allocates.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/signal_frame_in_handler.hpp"

#define SLUICE_GUARD_EXPORT extern "C" __attribute__((visibility("default")))

namespace sluice::guard {

using os::in_handler::bit_of;
using os::in_handler::KernelMask;
using os::in_handler::swap_mask;

// SIGSTKFLT: no kernel has ever raised it, and as a standard signal it is pending at most once,
// like SIGSEGV.
constexpr int proxy = SIGSTKFLT;
constexpr int signal_count = 64;
// The two that libc keeps to itself.
constexpr bool is_of_libc(int signal) noexcept { return signal == 32 || signal == 33; }

[[nodiscard]] constexpr KernelMask to_kernel(KernelMask program) noexcept {
  const bool blocked = (program & bit_of(SIGSEGV)) != 0;
  return (program & ~(bit_of(SIGSEGV) | bit_of(proxy))) | (blocked ? bit_of(proxy) : 0);
}
[[nodiscard]] constexpr KernelMask to_program(KernelMask kernel) noexcept {
  constexpr KernelMask never =
      bit_of(SIGKILL) | bit_of(SIGSTOP) | bit_of(32) | bit_of(33) | bit_of(SIGSEGV);
  if ((kernel | never) == ~KernelMask{0}) return kernel | bit_of(SIGSEGV);  // a full set stays full
  const bool blocked = (kernel & bit_of(proxy)) != 0;
  return (kernel & ~(bit_of(proxy) | bit_of(SIGSEGV))) | (blocked ? bit_of(SIGSEGV) : 0);
}

// An action as Linux takes it; also the form in which the program's actions are kept.
struct Action {
  std::uintptr_t handler = 0;  // 0 and 1 are SIG_DFL and SIG_IGN
  std::uint64_t flags = 0;
  std::uintptr_t restorer = 0;
  KernelMask mask = 0;

  [[nodiscard]] bool is_function() const noexcept { return handler > 1; }
  [[nodiscard]] bool has(int flag) const noexcept {
    return (flags & static_cast<std::uint64_t>(static_cast<unsigned>(flag))) != 0;
  }
};

// --- actions (actions.cc) ------------------------------------------------------------------------
// sigaction in Linux's form; `caller` is where it was called from. 0 or an errno.
[[nodiscard]] int change_action(int signal, const Action* wanted, Action* before,
                                const void* caller) noexcept;
[[nodiscard]] Action action_of(int signal) noexcept;  // the program's; may be asked in a handler
[[nodiscard]] std::uintptr_t function_of(int signal) noexcept;  // the last that was a function
void reset_to_default(int signal) noexcept;                     // as SA_RESETHAND does
// Takes over the actions that the process was started with. Once. A program with the guard passes
// on by the proxy that it ignores SIGSEGV.
void take_over_actions(bool proxy_was_ignored) noexcept;
void repair_after_fork() noexcept;  // in the child
void come_to_the_front() noexcept;  // also if a handler of SIGSEGV was set past the guard

// --- masks (masks.cc) ----------------------------------------------------------------------------
// pthread_sigmask in the program's form.
int change_mask(int how, const sigset_t* wanted, sigset_t* before) noexcept;

// --- handlers (front_in_handler.cc) --------------------------------------------------------------
void on_front(int signal, siginfo_t* info, void* context);  // the kernel's handler of SIGSEGV
void on_proxy(int signal, siginfo_t* info, void* context);  // of the proxy
void on_any(int signal, siginfo_t* info, void* context);    // of others that see a context
// The number of signals that this thread received as SIGSEGV and sent on as the proxy.
[[nodiscard]] unsigned requeued() noexcept;
// The form in which the program sees a signal that came as the proxy.
void show_as_sent(siginfo_t& info) noexcept;
// Touches each page as a program would; false if an access there is invalid.
[[nodiscard]] bool try_touch(std::uintptr_t begin, std::size_t size, bool writes) noexcept;

// --- drivers (drivers.cc) ------------------------------------------------------------------------
// True if a driver answered the fault.
[[nodiscard]] bool ask_drivers(int signal, siginfo_t* info, ucontext_t* context) noexcept;
// If the call comes from a driver, handles it and returns true.
[[nodiscard]] bool is_for_driver(const Action* wanted, Action* before, const void* caller) noexcept;
// Brings managed buffers to the host before the kernel touches them.
void resolve_buffer(std::uintptr_t begin, std::size_t size, bool writes) noexcept;
[[nodiscard]] bool has_drivers() noexcept;
[[nodiscard]] bool has_handler_drivers() noexcept;
// The number of this thread's accesses that drivers have answered.
[[nodiscard]] unsigned answered() noexcept;
void read_options(char** environment) noexcept;

// --- windows (windows.cc) ------------------------------------------------------------------------
[[nodiscard]] bool has_windows() noexcept;
// True if any of the bytes lie in a window of managed addresses.
[[nodiscard]] bool is_managed(const void* place, std::size_t size) noexcept;
// Touches the bytes that lie in windows. False: some of these are invalid.
[[nodiscard]] bool touch_managed(const void* place, std::size_t size, bool writes) noexcept;

// --- libc (libc.cc) ------------------------------------------------------------------------------
// Makes the guard work if it does not yet: the first call in the process comes before any
// constructor.
void ensure_ready() noexcept;
// True if this process runs in another one's memory: a child of vfork().
[[nodiscard]] bool is_in_borrowed_memory() noexcept;
// A function of the next library that has it; never null (the process ends with a message).
[[nodiscard]] void* next_function(const char* name) noexcept;
[[nodiscard]] std::uintptr_t libc_restorer() noexcept;
[[nodiscard]] int raw_sigaction(int signal, const Action* wanted, Action* before) noexcept;

// The function of that name behind this one, looked up at the first call.
#define SLUICE_NEXT(name)                                   \
  ([]() noexcept {                                          \
    static constinit std::atomic<void*> found{nullptr};     \
    void* function = found.load(std::memory_order_acquire); \
    if (function == nullptr) {                              \
      ::sluice::guard::ensure_ready();                      \
      function = ::sluice::guard::next_function(#name);     \
      found.store(function, std::memory_order_release);     \
    }                                                       \
    return reinterpret_cast<decltype(&::name)>(function);   \
  }())

// A sigset_t of which Linux knows the first word.
[[nodiscard]] inline KernelMask& word_of(sigset_t& set) noexcept {
  return *reinterpret_cast<KernelMask*>(&set);
}
[[nodiscard]] inline sigset_t kernel_set(const sigset_t& program) noexcept {
  sigset_t set = program;
  word_of(set) = to_kernel(word_of(set));
  return set;
}

}  // namespace sluice::guard
