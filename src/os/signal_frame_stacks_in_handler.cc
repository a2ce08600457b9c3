// Stacks of our own for the work of signal handlers. Signal context: no allocation, no stdio, no
// locks.
//
// Why: answering an access takes some 30 KiB of stack, a signal frame with AVX-512 another 3.5, and
// programs have alternate stacks of 8 KiB. Work on those would overwrite the memory below them.
//
// 64 stacks are kept. A thread that finds them all in use maps one for this call alone, by a bare
// system call, which is safe in a handler. If Linux refuses that (ulimit -v, vm.max_map_count), the
// thread sleeps until a stack is given back. So the work never runs on the program's stack, however
// many threads there are.
//
// Cost: 20 ns for a kept stack; three system calls and the page faults of a fresh stack (some 10
// us) for any other. 16 MiB of address space, of which only used pages take memory. What it does
// not do: order the threads that wait, or give kept stacks back.
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "os/signal_frame_in_handler.hpp"

namespace sluice::os::in_handler {
namespace {

constexpr std::size_t stack_count = 64;
constexpr std::size_t stack_size = std::size_t{256} << 10;
constexpr std::size_t guard_size = 4096;

constinit std::atomic<std::byte*> kept{nullptr};
constinit std::atomic<std::uint64_t> kept_in_use{0};
constinit std::atomic<std::uint32_t> given_back{0};  // counts; waiting threads sleep on it
constinit std::atomic<std::uint32_t> waiting{0};

struct Stack {
  std::byte* begin;
  int place;  // among those that are kept; -1: mapped for this call
};

bool failed(long result) noexcept { return result < 0 && result > -4096; }

// Inaccessible memory, or null.
std::byte* reserve(std::size_t size) noexcept {
  const long made = raw_call(SYS_mmap, 0, static_cast<long>(size), PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  return failed(made) ? nullptr : reinterpret_cast<std::byte*>(made);
}
void unmap(std::byte* begin, std::size_t size) noexcept {
  raw_call(SYS_munmap, reinterpret_cast<long>(begin), static_cast<long>(size));
}
// Makes a stack usable but for its lowest page.
bool open_stack(std::byte* begin) noexcept {
  return !failed(raw_call(SYS_mprotect, reinterpret_cast<long>(begin + guard_size),
                          stack_size - guard_size, PROT_READ | PROT_WRITE));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
Stack take_kept() noexcept {
  std::byte* const begin = kept.load(std::memory_order_acquire);
  std::uint64_t in_use = kept_in_use.load(std::memory_order_relaxed);
  while (begin != nullptr && ~in_use != 0) {
    const int free = __builtin_ctzll(~in_use);
    if (kept_in_use.compare_exchange_weak(in_use, in_use | std::uint64_t{1} << free))
      return {begin + static_cast<std::size_t>(free) * stack_size, free};
  }
  return {nullptr, -1};
}

Stack map_one() noexcept {
  std::byte* const begin = reserve(stack_size);
  if (begin == nullptr) return {nullptr, -1};
  if (open_stack(begin)) return {begin, -1};
  unmap(begin, stack_size);
  return {nullptr, -1};
}

// The process has no stack and can have none: it reports that and ends.
[[noreturn]] void end_without_stack() noexcept {
  static constexpr char text[] =
      "sluice: no memory for the stack of a signal handler (ulimit -v? vm.max_map_count?)\n";
  raw_call(SYS_write, STDERR_FILENO, reinterpret_cast<long>(text), sizeof text - 1);
  ::abort();
}

Stack take() noexcept {
  while (true) {
    if (const Stack stack = take_kept(); stack.begin != nullptr) return stack;
    if (const Stack stack = map_one(); stack.begin != nullptr) return stack;
    if (kept.load() == nullptr) end_without_stack();
    waiting.fetch_add(1);
    const std::uint32_t seen = given_back.load();
    const Stack stack = take_kept();
    // Limit the sleep, since mapping a stack may have become possible.
    const struct timespec limit = {0, 20'000'000};
    if (stack.begin == nullptr)
      raw_call(SYS_futex, reinterpret_cast<long>(&given_back), FUTEX_WAIT_PRIVATE, seen,
               reinterpret_cast<long>(&limit));
    waiting.fetch_sub(1);
    if (stack.begin != nullptr) return stack;
  }
}

void give_back(const Stack& stack) noexcept {
  if (stack.place < 0) return unmap(stack.begin, stack_size);
  kept_in_use.fetch_and(~(std::uint64_t{1} << stack.place));
  given_back.fetch_add(1);
  if (waiting.load() != 0)
    raw_call(SYS_futex, reinterpret_cast<long>(&given_back), FUTEX_WAKE_PRIVATE, 1);
}
#endif

}  // namespace

bool prepare_stacks() noexcept {
  if (kept.load(std::memory_order_acquire) != nullptr) return true;
  constexpr std::size_t size = stack_count * stack_size;
  std::byte* const begin = reserve(size);
  if (begin == nullptr) return false;
  bool opened = true;
  for (std::size_t i = 0; i < stack_count; ++i)
    opened = opened && open_stack(begin + i * stack_size);
  std::byte* none = nullptr;
  if (opened && kept.compare_exchange_strong(none, begin)) return true;
  unmap(begin, size);
  return none != nullptr;
}

void call_on_own_stack(void (*work)(void*), void* argument) noexcept {
  // Sanitizers track only the stack that they know.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  work(argument);
#else
  const Stack stack = take();
  std::byte* const top = stack.begin + stack_size;
  // rbx survives the call. Unwinding is not possible across, and nothing throws.
  asm volatile(
      "mov %%rsp, %%rbx\n\t"
      "mov %[top], %%rsp\n\t"
      "call *%[work]\n\t"
      "mov %%rbx, %%rsp"
      : "+D"(argument)
      : [top] "r"(top), [work] "r"(work)
      : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1",
        "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
  give_back(stack);
#endif
}

}  // namespace sluice::os::in_handler
