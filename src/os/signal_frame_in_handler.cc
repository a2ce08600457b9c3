// Frames and masks of signal handlers on x86-64 Linux. See the notice in the header.
//
// Why a frame is moved: a handler that stands in front runs on the alternate stack, because the
// interrupted one may have overflowed. Another handler may have been set without SA_ONSTACK; it
// then expects the interrupted stack below the 128 bytes that compiled code may use there, and code
// that unwinds or jumps out of it relies on that. The kernel's frame may lie anywhere, as long as
// the pointer to the vector state in it is right; so it is copied to where the kernel would have
// put it.
//
// Cost: one system call (0.1 us) for a handler that is begun, and a copy of 1 to 12 KiB where a
// frame is moved. What it does not do: support other processors, where it is not built
// (src/CMakeLists.txt).
#include "os/signal_frame_in_handler.hpp"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::os::in_handler {
namespace {

constexpr std::size_t red_zone = 128;
constexpr std::size_t context_size = 304;  // the kernel's struct ucontext; libc's is longer
constexpr std::size_t info_at = 8 + context_size;
constexpr std::size_t frame_size = info_at + 128;

// The length of the vector state in a frame: what the kernel wrote into its reserved bytes, or the
// 512 of FXSAVE.
std::size_t vector_state_size(const void* state) noexcept {
  constexpr std::uint32_t extended = 0x46505853;  // FP_XSTATE_MAGIC1
  struct ReservedBytes {
    std::uint32_t magic;
    std::uint32_t size;
  } reserved;
  ::memcpy(&reserved, static_cast<const std::byte*>(state) + 464, sizeof reserved);
  return reserved.magic == extended ? reserved.size : 512;
}

bool lies_in(std::uintptr_t address, const stack_t& stack) noexcept {
  return address - reinterpret_cast<std::uintptr_t>(stack.ss_sp) < stack.ss_size;
}

struct Frame {
  std::uintptr_t begin;
  siginfo_t* info;
  ucontext_t* context;
};

// Copies the frame to where the kernel would have put it on the interrupted stack.
Frame move_to(std::uintptr_t stack_pointer, const siginfo_t* info,
              const ucontext_t* context) noexcept {
  std::uintptr_t top = stack_pointer - red_zone;
  const void* const state = context->uc_mcontext.fpregs;
  std::uintptr_t moved_state = 0;
  if (state != nullptr) {
    const std::size_t size = vector_state_size(state);
    top = moved_state = (top - size) & ~std::uintptr_t{63};
    ::memcpy(reinterpret_cast<void*>(moved_state), state, size);
  }
  const std::uintptr_t begin = ((top - frame_size) & ~std::uintptr_t{15}) - 8;
  ::memcpy(reinterpret_cast<void*>(begin), reinterpret_cast<const std::byte*>(context) - 8,
           8 + context_size);
  ::memcpy(reinterpret_cast<void*>(begin + info_at), info, sizeof *info);
  auto* const moved = reinterpret_cast<ucontext_t*>(begin + 8);
  moved->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(moved_state);
  return {begin, reinterpret_cast<siginfo_t*>(begin + info_at), moved};
}

}  // namespace

long raw_call(long number, long a, long b, long c, long d, long e, long f) noexcept {
  long result = number;
  register long fourth asm("r10") = d;
  register long fifth asm("r8") = e;
  register long sixth asm("r9") = f;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
               : "rcx", "r11", "memory");
  return result;
}

KernelMask& mask_in(ucontext_t& context) noexcept {
  return *reinterpret_cast<KernelMask*>(&context.uc_sigmask);
}

bool is_store(const ucontext_t& context) noexcept {
  return (context.uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

bool is_fetch(const ucontext_t& context) noexcept {
  return (context.uc_mcontext.gregs[REG_ERR] & 16) != 0;
}

void set_mask(KernelMask mask) noexcept {
  raw_call(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&mask), 0, sizeof mask);
}

KernelMask swap_mask(KernelMask mask) noexcept {
  KernelMask before = 0;
  raw_call(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&mask),
           reinterpret_cast<long>(&before), sizeof mask);
  return before;
}

// The frame of this function is never left, and AddressSanitizer would keep redzones in it for the
// next handler on the same stack. It forgets those of the callers, because this does not return.
__attribute__((no_sanitize("address"))) void begin_handler(Entry entry, bool on_alternate_stack,
                                                           KernelMask mask, int signal,
                                                           siginfo_t* info,
                                                           ucontext_t* context) noexcept {
  Frame frame{reinterpret_cast<std::uintptr_t>(context) - 8, info, context};
  const auto interrupted = static_cast<std::uintptr_t>(context->uc_mcontext.gregs[REG_RSP]);
  const stack_t& alternate = context->uc_stack;
  if (!on_alternate_stack && (alternate.ss_flags & SS_DISABLE) == 0 &&
      lies_in(frame.begin, alternate) && !lies_in(interrupted - 1, alternate)) {
    frame = move_to(interrupted, info, context);
    constexpr int disarmed = static_cast<int>(1U << 31U);  // SS_AUTODISARM
    if ((alternate.ss_flags & disarmed) != 0)
      raw_call(SYS_sigaltstack, reinterpret_cast<long>(&frame.context->uc_stack));
  }
  set_mask(mask);
  asm volatile(
      "mov %[stack], %%rsp\n\t"
      "xor %%eax, %%eax\n\t"
      "jmp *%[entry]"
      :
      : [stack] "r"(frame.begin), [entry] "r"(entry), "D"(static_cast<long>(signal)),
        "S"(frame.info), "d"(frame.context)
      : "memory", "rax");
  __builtin_unreachable();
}

void end_by_default(int signal, siginfo_t* info, ucontext_t* context) noexcept {
  // The kernel's struct sigaction: handler, flags, restorer, mask. All zero is the default action.
  const std::uint64_t by_default[4] = {};
  raw_call(SYS_rt_sigaction, signal, reinterpret_cast<long>(by_default), 0, sizeof(KernelMask));
  if (is_fault(*info)) return;
  mask_in(*context) &= ~bit_of(signal);
  raw_call(SYS_rt_tgsigqueueinfo, raw_call(SYS_getpid), raw_call(SYS_gettid), signal,
           reinterpret_cast<long>(info));
}

}  // namespace sluice::os::in_handler
