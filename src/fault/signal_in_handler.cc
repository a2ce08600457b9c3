// The SIGSEGV handler of grade `signal`. See the notice in the header.
//
// The handler takes a fault (not a kill) on a mapped page, in a window with an answerer. It passes
// all else on to the earlier handler, as the kernel would have called it, or to the default action.
//
// All signals are blocked while we work, so that no handler of the program can jump out of the
// engine and leave a claim held. Cost: a look at up to 64 windows, about 20 ns; the kernel's
// delivery and return, about two minor faults; the answer itself. What it does not do: stay first
// when another handler is set later. The guard (src/face/guard/) does that.
#include "fault/signal_in_handler.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "os/fork_guard_in_handler.hpp"
#include "os/signal_frame_in_handler.hpp"
#include "sluice/guard.h"

namespace sluice::fault::in_handler {
namespace {

using namespace sluice::os::in_handler;  // NOLINT(google-build-using-namespace): its every word

struct AnswerSlot {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> size{0};  // 0: a free slot
  std::atomic<Answerer*> answerer{nullptr};
  std::atomic<std::uint32_t> inside{0};  // handlers that may be in the answerer
};
constinit AnswerSlot answered[64] = {};

constinit struct sigaction previous = {};
constinit std::atomic<bool> guarded{false};

struct Question {
  const Touch& touch;
  Answerer& answerer;
  Answer answer;
};

// Does the work itself, on a stack of ours.
void ask(void* argument) noexcept {
  auto& question = *static_cast<Question*>(argument);
  question.answer = question.answerer.answer(question.touch);
}

// Sleeps until the word changes, or the program has a signal to handle first.
void sleep_on(WaitSlot& waiting, std::uint32_t seen, KernelMask mask) noexcept {
  const struct timespec slice = {0, 5'000'000};
  while (waiting.wakes.load() == seen) {
    if (raw_call(SYS_futex, reinterpret_cast<long>(&waiting.wakes), FUTEX_WAIT, seen,
                 reinterpret_cast<long>(&slice)) != -ETIMEDOUT)
      continue;
    KernelMask pending = 0;
    if (raw_call(SYS_rt_sigpending, reinterpret_cast<long>(&pending), sizeof pending) == 0 &&
        (pending & ~mask) != 0)
      break;
  }
  waiting.threads.fetch_sub(1);
}

// Runs on the handler's own stack, of which it needs a few hundred bytes. A thread sleeps there and
// not on a stack of ours, so that no thread that waits for a kernel keeps a stack from one that the
// kernel waits for.
bool answer_touch(const Touch& touch) noexcept {
  for (AnswerSlot& slot : answered) {
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (touch.address.value - begin >= slot.size.load(std::memory_order_acquire)) continue;
    slot.inside.fetch_add(1);
    Answer answer;
    if (Answerer* const answerer = slot.answerer.load(); answerer != nullptr) {
      Question question{touch, *answerer, {}};
      call_on_own_stack(ask, &question);
      answer = question.answer;
    }
    if (answer.waiting != nullptr) sleep_on(*answer.waiting, answer.seen, touch.mask);
    slot.inside.fetch_sub(1);
    return answer.is_ours;
  }
  return false;
}

bool answer_signal(const siginfo_t* info, ucontext_t* context) noexcept {
  // Pages of ours without rights are mapped; SEGV_MAPERR means that the program unmapped them.
  if (info->si_code != SEGV_ACCERR) return false;
  // No page there is executable, so no right would help: the program has jumped there by mistake.
  if (is_fetch(*context)) return false;
  return answer_touch({Address::of(info->si_addr),
                       is_store(*context) ? Access::write : Access::read, mask_in(*context), true});
}

// Calls the earlier handler as the kernel would have.
void pass_on(int signal, siginfo_t* info, ucontext_t* context) noexcept {
  const struct sigaction before = previous;
  const bool takes_info = (before.sa_flags & SA_SIGINFO) != 0;
  if (!takes_info && before.sa_handler == SIG_IGN && !is_fault(*info)) return;
  if (!takes_info && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN))
    return end_by_default(signal, info, context);
  if ((before.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) {
    previous.sa_handler = SIG_DFL;
    previous.sa_flags &= ~SA_SIGINFO;
  }
  KernelMask mask = mask_in(*context) | *reinterpret_cast<const KernelMask*>(&before.sa_mask);
  if ((before.sa_flags & SA_NODEFER) == 0) mask |= bit_of(signal);
  begin_handler(before.sa_sigaction, (before.sa_flags & SA_ONSTACK) != 0, mask, signal, info,
                context);
}

void on_segmentation_fault(int signal, siginfo_t* info, void* argument) noexcept {
  const int saved_errno = errno;
  auto* const context = static_cast<ucontext_t*>(argument);
  const bool ours = answer_signal(info, context);
  errno = saved_errno;
  if (!ours) pass_on(signal, info, context);
}

// The guard calls this instead of a handler.
int answer_for_guard(int, void* info, void* context) noexcept {
  return answer_signal(static_cast<siginfo_t*>(info), static_cast<ucontext_t*>(context)) ? 1 : 0;
}

// The guard calls this before it hands a buffer to the kernel. It runs in the program's own
// context, not in a handler: signals wait meanwhile as they do there.
void answer_buffer(std::uintptr_t begin, std::size_t size, int writes) noexcept {
  for (const AnswerSlot& slot : answered) {
    const std::uintptr_t window = slot.begin.load(std::memory_order_acquire);
    if (begin - window >= slot.size.load(std::memory_order_acquire)) continue;
    const KernelMask before = swap_mask(~KernelMask{0});
    const Access access = writes != 0 ? Access::write : Access::read;
    for (std::uintptr_t at = begin; at < begin + size; at = (at | (page_size - 1)) + 1)
      if (!answer_touch({{at}, access, before, false})) break;
    set_mask(before);
    return;
  }
}

bool register_with_guard() noexcept {
  const auto enter = reinterpret_cast<decltype(&sluice_guard_register)>(
      ::dlsym(RTLD_DEFAULT, "sluice_guard_register"));
  return enter != nullptr && enter(answer_for_guard, answer_buffer) == 0;
}

}  // namespace

bool add(AddressSpan window, Answerer& answerer) noexcept {
  for (AnswerSlot& slot : answered) {
    Answerer* none = nullptr;
    if (!slot.answerer.compare_exchange_strong(none, &answerer)) continue;
    slot.begin.store(window.begin.value, std::memory_order_release);
    slot.size.store(window.size, std::memory_order_release);
    return true;
  }
  return false;
}

void remove(Answerer& answerer) noexcept {
  for (AnswerSlot& slot : answered) {
    if (slot.answerer.load() != &answerer) continue;
    slot.size.store(0, std::memory_order_release);
    slot.begin.store(0, std::memory_order_release);
    while (slot.inside.load() != 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
    slot.answerer.store(nullptr);
  }
}

bool is_guarded() noexcept { return guarded.load(std::memory_order_relaxed); }

int hear_segmentation_faults() noexcept {
  if (!prepare_stacks()) return ENOMEM;
  if (register_with_guard()) {
    guarded.store(true, std::memory_order_relaxed);
    return 0;
  }
  struct sigaction current = {};
  if (::sigaction(SIGSEGV, nullptr, &current) != 0) return errno;
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == on_segmentation_fault)
    return 0;
  previous = current;
  stands_for_default.store((current.sa_flags & SA_SIGINFO) == 0 && current.sa_handler == SIG_DFL
                               ? on_segmentation_fault
                               : nullptr);
  struct sigaction ours = {};
  ours.sa_sigaction = on_segmentation_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  // Block all of them, also those two that sigfillset() leaves out: libc cancels threads and
  // changes their users by signals, and neither may unwind or interrupt this handler. They come
  // when it has returned, to the access.
  std::memset(&ours.sa_mask, 0xff, sizeof ours.sa_mask);
  return ::sigaction(SIGSEGV, &ours, nullptr) == 0 ? 0 : errno;
}

}  // namespace sluice::fault::in_handler
