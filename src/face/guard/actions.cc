// The program's actions, and every function of libc that sets one.
//
// The table below holds the program's actions. The kernel has, for SIGSEGV, on_front; for the
// proxy, the program's flags and mask of SIGSEGV with on_proxy; for others, the program's own
// action, but for handlers that see a context (SA_SIGINFO), which are called through on_any so that
// the mask in the context has the program's form.
//
// signal() and the like are reimplemented here because libc's call each other inside libc, where
// preloaded functions are not used.
//
// A child of vfork() runs in its parent's memory, but Linux gave it actions of its own. So it
// leaves the table alone: Linux keeps the actions it sets, except that of SIGSEGV, which is kept in
// the thread that it borrows. A handler with SA_SIGINFO that such a child sets for
// another signal is called without the guard, so it sees masks in the kernel's form. Cost: one or
// two system calls more for SIGSEGV, nothing for others. The table has a lock that is held with all
// signals blocked; handlers read it without (a sequence count).
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

struct Entry {
  std::atomic<std::uint32_t> sequence{0};  // odd while it is written
  std::atomic<std::uintptr_t> handler{0};
  std::atomic<std::uint64_t> flags{0};
  std::atomic<std::uintptr_t> restorer{0};
  std::atomic<KernelMask> mask{0};
  std::atomic<std::uintptr_t> function{0};
};
constinit Entry table[signal_count + 1] = {};
constinit std::atomic<bool> locked{false};
constinit std::atomic<KernelMask> interrupting{0};  // siginterrupt(signal, 1) was called for these

// The action of SIGSEGV of a child of vfork() in this thread. The parent's thread sleeps until the
// child is gone.
struct OwnAction {
  std::int32_t process = 0;  // 0: there is no such child
  Action action;
  std::uintptr_t function = 0;
};
thread_local OwnAction own;

bool is_own() noexcept {
  return own.process != 0 && own.process == os::in_handler::raw_call(SYS_getpid);
}

// All signals wait meanwhile, SIGSEGV too: nothing here touches the program's memory.
class Lock {
 public:
  Lock() noexcept : mask_(swap_mask(~KernelMask{0})) {
    while (locked.exchange(true, std::memory_order_acquire)) __builtin_ia32_pause();
  }
  ~Lock() {
    locked.store(false, std::memory_order_release);
    (void)swap_mask(mask_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  KernelMask mask_;
};

void store(Entry& entry, const Action& action) noexcept {
  entry.sequence.fetch_add(1);
  entry.handler.store(action.handler);
  entry.flags.store(action.flags);
  entry.restorer.store(action.restorer);
  entry.mask.store(action.mask);
  if (action.is_function()) entry.function.store(action.handler);
  entry.sequence.fetch_add(1);
}

// The action to set in Linux for the program's action.
Action for_kernel(const Action& program, std::uintptr_t handler) noexcept {
  return {handler, program.flags, program.restorer, to_kernel(program.mask)};
}

std::uintptr_t address_of(void (*function)(int, siginfo_t*, void*)) noexcept {
  return reinterpret_cast<std::uintptr_t>(function);
}

constexpr std::uint64_t restorer_flag = 0x04000000;

// The front and the proxy, as the program's action of SIGSEGV wants them.
void mirror(const Action& program) noexcept {
  constexpr std::uint64_t kept = SA_RESTART | SA_NODEFER | SA_ONSTACK;
  Action proxied{address_of(on_proxy), (program.flags & kept) | SA_SIGINFO | restorer_flag,
                 libc_restorer(), to_kernel(program.mask)};
  if (program.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN))
    proxied.handler = program.handler;
  (void)raw_sigaction(proxy, &proxied, nullptr);
  const Action front{address_of(on_front),
                     SA_SIGINFO | SA_ONSTACK | (program.flags & SA_RESTART) | restorer_flag,
                     libc_restorer(), ~KernelMask{0}};
  (void)raw_sigaction(SIGSEGV, &front, nullptr);
}

}  // namespace

Action action_of(int signal) noexcept {
  if (signal == SIGSEGV && is_own()) return own.action;
  const Entry& entry = table[signal];
  while (true) {
    const std::uint32_t before = entry.sequence.load();
    const Action action{entry.handler.load(), entry.flags.load(), entry.restorer.load(),
                        entry.mask.load()};
    if (before % 2 == 0 && entry.sequence.load() == before) return action;
    __builtin_ia32_pause();
  }
}

std::uintptr_t function_of(int signal) noexcept {
  if (signal == SIGSEGV && is_own()) return own.function;
  return table[signal].function.load();
}

void reset_to_default(int signal) noexcept {
  if (signal == SIGSEGV && is_own()) {
    own.action.handler = 0;
    return;
  }
  const Lock lock;
  Action action = action_of(signal);
  action.handler = 0;
  store(table[signal], action);
}

namespace {

// The action in force in Linux, in the program's form; `mine` is the table's entry.
Action as_set(const Action& replaced, const Action& mine) noexcept {
  // Linux may have reset it since (SA_RESETHAND), so Linux decides if it is still a handler, and
  // the table which one.
  if (replaced.handler == address_of(on_any)) return mine;
  Action action = replaced;
  action.mask = mine.flags == replaced.flags ? mine.mask : to_program(replaced.mask);
  return action;
}

// The same for a child of vfork().
int change_action_of_child(int signal, const Action* wanted, Action* before) noexcept {
  const Action mine = action_of(signal);
  if (signal == proxy) {
    if (before != nullptr) *before = mine;
    return 0;
  }
  if (signal == SIGSEGV) {
    if (before != nullptr) *before = mine;
    if (wanted == nullptr) return 0;
    const KernelMask mask = swap_mask(~KernelMask{0});
    const std::uintptr_t function = wanted->is_function() ? wanted->handler : function_of(signal);
    own = {static_cast<std::int32_t>(os::in_handler::raw_call(SYS_getpid)), *wanted, function};
    mirror(*wanted);
    (void)swap_mask(mask);
    return 0;
  }
  Action passed;
  if (wanted != nullptr) passed = for_kernel(*wanted, wanted->handler);
  Action replaced;
  const int error = raw_sigaction(signal, wanted != nullptr ? &passed : nullptr, &replaced);
  if (error == 0 && before != nullptr) *before = as_set(replaced, mine);
  return error;
}

}  // namespace

namespace {

// Under the lock. A handler that came past the guard (a sanitizer's, which calls libc by itself)
// becomes the program's.
void take_back_front() noexcept {
  Action found;
  (void)raw_sigaction(SIGSEGV, nullptr, &found);
  if (found.handler == address_of(on_front)) return;
  found.mask = to_program(found.mask);
  store(table[SIGSEGV], found);
  mirror(found);
}

}  // namespace

int change_action(int signal, const Action* wanted, Action* before, const void* caller) noexcept {
  ensure_ready();
  if (signal < 1 || signal > signal_count || is_of_libc(signal)) return EINVAL;
  if (wanted != nullptr && (signal == SIGKILL || signal == SIGSTOP)) return EINVAL;
  if (is_in_borrowed_memory()) return change_action_of_child(signal, wanted, before);
  own.process = 0;
  if (signal == SIGSEGV && is_for_driver(wanted, before, caller)) return 0;
  const Lock lock;
  if (signal == SIGSEGV) take_back_front();
  const Action mine = action_of(signal);
  if (signal == SIGSEGV || signal == proxy) {
    if (before != nullptr) *before = mine;
    if (wanted == nullptr) return 0;
    store(table[signal], *wanted);
    if (signal == SIGSEGV) mirror(*wanted);
    return 0;
  }
  Action replaced;
  if (wanted == nullptr) {
    if (const int error = raw_sigaction(signal, nullptr, &replaced); error != 0) return error;
  } else {
    const bool sees_context = wanted->is_function() && wanted->has(SA_SIGINFO);
    store(table[signal], *wanted);  // first: on_any may be called at once
    const Action passed = for_kernel(*wanted, sees_context ? address_of(on_any) : wanted->handler);
    if (const int error = raw_sigaction(signal, &passed, &replaced); error != 0) {
      store(table[signal], mine);
      return error;
    }
  }
  if (before != nullptr) *before = as_set(replaced, mine);
  return 0;
}

void come_to_the_front() noexcept {
  const Lock lock;
  if (!is_in_borrowed_memory()) take_back_front();
}

void take_over_actions(bool proxy_was_ignored) noexcept {
  Action inherited;
  (void)raw_sigaction(SIGSEGV, nullptr, &inherited);
  if (proxy_was_ignored) inherited.handler = reinterpret_cast<std::uintptr_t>(SIG_IGN);
  inherited.mask = to_program(inherited.mask);
  store(table[SIGSEGV], inherited);
  mirror(inherited);
}

// A thread that was changing the table when the parent forked does not exist here.
void repair_after_fork() noexcept {
  for (Entry& entry : table)
    if (entry.sequence.load() % 2 != 0) entry.sequence.fetch_add(1);
  locked.store(false, std::memory_order_release);
}

namespace {

int set_action(int signal, const struct sigaction* wanted, struct sigaction* before,
               const void* caller) noexcept {
  Action action;
  if (wanted != nullptr) {
    action = {reinterpret_cast<std::uintptr_t>(wanted->sa_handler),
              static_cast<std::uint64_t>(static_cast<unsigned>(wanted->sa_flags)) | restorer_flag,
              libc_restorer(), 0};
    sigset_t mask = wanted->sa_mask;
    action.mask = word_of(mask);
  }
  Action old;
  const int error = change_action(signal, wanted != nullptr ? &action : nullptr, &old, caller);
  if (error != 0) {
    errno = error;
    return -1;
  }
  if (before != nullptr) {
    before->sa_handler = reinterpret_cast<void (*)(int)>(old.handler);
    before->sa_flags = static_cast<int>(old.flags);
    before->sa_restorer = reinterpret_cast<void (*)()>(old.restorer);
    word_of(before->sa_mask) = old.mask;
  }
  return 0;
}

using Handler = void (*)(int);

// signal(): by BSD's rules, or by System V's.
Handler set_handler(int signal, Handler handler, int flags, bool masks_itself,
                    const void* caller) noexcept {
  if (handler == SIG_ERR || signal < 1 || signal > signal_count) {
    errno = EINVAL;
    return SIG_ERR;
  }
  struct sigaction wanted = {};
  struct sigaction before = {};
  wanted.sa_handler = handler;
  wanted.sa_flags = flags;
  if (masks_itself) word_of(wanted.sa_mask) = bit_of(signal);
  return set_action(signal, &wanted, &before, caller) == 0 ? before.sa_handler : SIG_ERR;
}

Handler set_by_bsd(int signal, Handler handler, const void* caller) noexcept {
  const bool interrupts =
      signal >= 1 && signal <= signal_count && (interrupting.load() & bit_of(signal)) != 0;
  return set_handler(signal, handler, interrupts ? 0 : SA_RESTART, true, caller);
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

#define CALLER __builtin_return_address(0)

SLUICE_GUARD_EXPORT int sigaction(int signal, const struct sigaction* wanted,
                                  struct sigaction* before) noexcept {
  return set_action(signal, wanted, before, CALLER);
}
SLUICE_GUARD_EXPORT int __sigaction(int signal, const struct sigaction* wanted,
                                    struct sigaction* before) noexcept {
  return set_action(signal, wanted, before, CALLER);
}
SLUICE_GUARD_EXPORT Handler signal(int signal, Handler handler) noexcept {
  return set_by_bsd(signal, handler, CALLER);
}
SLUICE_GUARD_EXPORT Handler bsd_signal(int signal, Handler handler) noexcept {
  return set_by_bsd(signal, handler, CALLER);
}
SLUICE_GUARD_EXPORT Handler ssignal(int signal, Handler handler) noexcept {
  return set_by_bsd(signal, handler, CALLER);
}
SLUICE_GUARD_EXPORT Handler sysv_signal(int signal, Handler handler) noexcept {
  constexpr int flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  return set_handler(signal, handler, flags, false, CALLER);
}
SLUICE_GUARD_EXPORT Handler __sysv_signal(int signal, Handler handler) noexcept {
  constexpr int flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  return set_handler(signal, handler, flags, false, CALLER);
}
SLUICE_GUARD_EXPORT int sigignore(int signal) noexcept {
  return set_handler(signal, SIG_IGN, 0, false, CALLER) == SIG_ERR ? -1 : 0;
}
SLUICE_GUARD_EXPORT int siginterrupt(int signal, int interrupts) noexcept {
  struct sigaction action = {};
  if (set_action(signal, nullptr, &action, CALLER) != 0) return -1;
  const bool is_child = is_in_borrowed_memory();  // of vfork(); this is its parent's
  if (interrupts != 0) {
    if (!is_child) interrupting.fetch_or(bit_of(signal));
    action.sa_flags &= ~SA_RESTART;
  } else {
    if (!is_child) interrupting.fetch_and(~bit_of(signal));
    action.sa_flags |= SA_RESTART;
  }
  return set_action(signal, &action, nullptr, CALLER);
}

// In System V's form: the handler, and whether the signal was held.
SLUICE_GUARD_EXPORT Handler sigset(int signal, Handler handler) noexcept {
  if (signal < 1 || signal > signal_count) {
    errno = EINVAL;
    return SIG_ERR;
  }
  sigset_t one = {};
  sigset_t before = {};
  word_of(one) = bit_of(signal);
  struct sigaction old = {};
  const bool holds = handler == SIG_HOLD;
  struct sigaction wanted = {};
  wanted.sa_handler = handler;
  if (set_action(signal, holds ? nullptr : &wanted, &old, CALLER) != 0) return SIG_ERR;
  if (change_mask(holds ? SIG_BLOCK : SIG_UNBLOCK, &one, &before) != 0) return SIG_ERR;
  return (word_of(before) & bit_of(signal)) != 0 ? SIG_HOLD : old.sa_handler;
}
