// The guard's start, and its access to libc and Linux.
//
// The first call may come from any constructor, before libc knows the environment, so the guard
// starts at the first call or at its own constructor, whichever is first; the environment is read
// from that constructor's arguments, which the loader passes.
//
// Real functions are looked up by name behind this library, never called through it. Code that runs
// before other libraries have started calls nothing that a sanitizer in the program replaces
// (bytes.cc). Handlers are installed with libc's own restorer: unwinders know a signal frame by the
// bytes there.
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

constinit std::atomic<int> stage{0};  // 0 nothing, 1 starting, 2 ready
constinit std::atomic<std::uintptr_t> restorer{0};

// The process that owns this memory. The word lies in a page that Linux clears in a copy of the
// memory, also in one that was made past libc's fork(); a child of vfork() finds its parent here.
constinit std::atomic<std::int32_t> plain_owner{0};
constinit std::atomic<std::atomic<std::int32_t>*> owner{&plain_owner};

std::int32_t this_process() noexcept {
  return static_cast<std::int32_t>(os::in_handler::raw_call(SYS_getpid));
}

void learn_owner() noexcept {
  constexpr std::size_t size = 4096;
  using os::in_handler::raw_call;
  const long page =
      raw_call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool is_made = page > 0;
  if (is_made && raw_call(SYS_madvise, page, size, MADV_WIPEONFORK) == 0)
    owner.store(reinterpret_cast<std::atomic<std::int32_t>*>(page));
  owner.load()->store(this_process());
}

void begin_child() noexcept {
  owner.load()->store(this_process());
  repair_after_fork();
}

// libc's restorer is what Linux has after libc set a handler. By this name a sanitizer behind this
// library has no function, which it could not answer from yet.
void learn_restorer() noexcept {
  const auto libc_sigaction =
      reinterpret_cast<int (*)(int, const struct sigaction*, struct sigaction*)>(
          next_function("__sigaction"));
  struct sigaction probe = {};
  probe.sa_handler = SIG_IGN;
  libc_sigaction(proxy, &probe, nullptr);
  Action seen;
  (void)raw_sigaction(proxy, nullptr, &seen);
  restorer.store(seen.restorer);
}

void start() noexcept {
  int none = 0;
  if (!stage.compare_exchange_strong(none, 1)) return;  // also while it starts, on the same thread
  Action inherited;                                     // before learn_restorer(), which changes it
  (void)raw_sigaction(proxy, nullptr, &inherited);
  learn_owner();
  learn_restorer();
  (void)os::in_handler::prepare_stacks();
  take_over_actions(inherited.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN));
  // The inherited mask may block the real signal (from a program without the guard) or the proxy
  // (from one with it).
  const KernelMask mask = swap_mask(~KernelMask{0});
  const bool blocked = (mask & (bit_of(SIGSEGV) | bit_of(proxy))) != 0;
  (void)swap_mask((mask & ~(bit_of(SIGSEGV) | bit_of(proxy))) | (blocked ? bit_of(proxy) : 0));
  ::pthread_atfork(nullptr, nullptr, begin_child);
  stage.store(2);
}

__attribute__((constructor)) void construct(int, char**, char** environment) {
  ensure_ready();
  read_options(environment);
}

}  // namespace

void ensure_ready() noexcept {
  if (stage.load(std::memory_order_acquire) != 2) start();
}

bool is_in_borrowed_memory() noexcept {
  const std::int32_t found = owner.load()->load();
  if (found == 0) begin_child();  // a copy of the memory, made past libc's fork()
  return found != 0 && found != this_process();
}

void* next_function(const char* name) noexcept {
  void* const function = ::dlsym(RTLD_NEXT, name);
  if (function != nullptr) return function;
  static const char text[] = "sluice-guard: libc has no function ";
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text, sizeof text - 1);
  written = ::write(STDERR_FILENO, name, ::strlen(name));
  written = ::write(STDERR_FILENO, "\n", 1);
  ::_exit(127);
}

std::uintptr_t libc_restorer() noexcept { return restorer.load(std::memory_order_relaxed); }

int raw_sigaction(int signal, const Action* wanted, Action* before) noexcept {
  return static_cast<int>(
      -os::in_handler::raw_call(SYS_rt_sigaction, signal, reinterpret_cast<long>(wanted),
                                reinterpret_cast<long>(before), sizeof(KernelMask)));
}

}  // namespace sluice::guard
