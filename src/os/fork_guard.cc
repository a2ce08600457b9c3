// Registers windows for the handler that runs in forked children, and distinguishes processes.
//
// A page of memory that Linux clears in every child (MADV_WIPEONFORK, 4.14) holds the generation; a
// child that finds zero there writes the next one. That also catches children of raw clone, which
// run no fork handlers, and reading it is a load where getpid() is a system call. Without such a
// page the fork handler counts, and raw clones go unnoticed.
#include "os/fork_guard.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/fork_guard_in_handler.hpp"
#include "os/owned_fd_in_handler.hpp"
#include "os/standard_numbers_in_handler.hpp"

namespace sluice::os {
namespace {

using Generation = std::atomic<std::uint64_t>;

constinit Generation last_generation{0};  // copied by fork
constinit Generation unwiped{0};          // stands in for the page where the kernel cannot wipe

// The wiped word; made at first use and never unmapped.
Generation& wiped_word() noexcept {
  static Generation* const word = []() noexcept -> Generation* {
    void* const page = calls().mmap(nullptr, page_size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return &unwiped;
    if (calls().madvise(page, page_size, MADV_WIPEONFORK) == 0) return new (page) Generation(0);
    calls().munmap(page, page_size);
    return &unwiped;
  }();
  return *word;
}

std::uint64_t current_generation() noexcept {
  Generation& word = wiped_word();
  std::uint64_t generation = word.load(std::memory_order_acquire);
  if (generation != 0) [[likely]]
    return generation;
  std::uint64_t expected = 0;
  const std::uint64_t next = last_generation.load(std::memory_order_relaxed) + 1;
  if (!word.compare_exchange_strong(expected, next, std::memory_order_acq_rel)) return expected;
  last_generation.store(next, std::memory_order_relaxed);
  return next;
}

// Threads that hold forks up, and forks that hold such threads up. Each side announces itself, and
// then looks at the other.
constinit std::atomic<int> pausing{0};
constinit std::atomic<int> forking{0};
// Initial-exec: a shared library's other thread-local memory is allocated at its first use.
[[gnu::tls_model("initial-exec")]] constinit thread_local int pauses_here = 0;

constexpr std::chrono::seconds longest_pause{1};

template <typename Condition>
void wait_for(Condition&& condition) noexcept {
  const auto end = std::chrono::steady_clock::now() + longest_pause;
  while (!condition() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void before_fork() noexcept {
  const int own = pauses_here != 0 ? 1 : 0;  // in a signal handler, during a pause
  forking.fetch_add(1);
  wait_for([own] { return pausing.load() <= own; });
}

void in_parent() noexcept { forking.fetch_sub(1); }

void in_child() noexcept {
  forking.store(0);
  pausing.store(pauses_here != 0 ? 1 : 0);
  unwiped.store(0, std::memory_order_relaxed);
  in_handler::close_windows_in_child();
  in_handler::close_owned_in_child();
  in_handler::forget_standard_numbers();
}

// The error of pthread_atfork, which is called once in a process.
int install() noexcept {
  static const int error = ::pthread_atfork(before_fork, in_parent, in_child);
  return error;
}

}  // namespace

ProcessMark::ProcessMark() noexcept : generation_(current_generation()) {}

bool ProcessMark::inherited() const noexcept { return generation_ != current_generation(); }

bool in_forked_child() noexcept {
  static const ProcessMark first;
  return first.inherited();
}

ForkPause::ForkPause() noexcept {
  (void)install();
  if (pauses_here++ != 0) return;
  const auto end = std::chrono::steady_clock::now() + longest_pause;
  for (;;) {
    pausing.fetch_add(1);
    if (forking.load() == 0 || std::chrono::steady_clock::now() >= end) return;
    pausing.fetch_sub(1);
    wait_for([] { return forking.load() == 0; });
  }
}

ForkPause::~ForkPause() {
  if (--pauses_here == 0) pausing.fetch_sub(1);
}

Result<ForkGuard> ForkGuard::over(AddressSpan window) {
  (void)in_forked_child();  // makes this process the first, should it be
  if (const int error = install(); error != 0) return call_failed(error, "pthread_atfork");
  for (int slot = 0; slot < in_handler::window_limit; ++slot) {
    std::uintptr_t free = 0;
    in_handler::GuardedWindow& entry = in_handler::windows[slot];
    if (!entry.begin.compare_exchange_strong(free, window.begin.value)) continue;
    entry.size.store(window.size, std::memory_order_release);
    return ForkGuard(slot);
  }
  return fail(ErrorCode::out_of_host_memory, "more than %d spaces in one process",
              in_handler::window_limit);
}

ForkGuard::~ForkGuard() {
  if (slot_ < 0) return;
  in_handler::windows[slot_].size.store(0, std::memory_order_release);
  in_handler::windows[slot_].begin.store(0, std::memory_order_release);
}

}  // namespace sluice::os
