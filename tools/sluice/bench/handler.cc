// A load from an inaccessible page, and a handler that continues the program after it. It is
// measured once through the handler in front (Sluice's in grade signal, or the guard), and once
// with the handler set directly in the kernel.
#include "bench/handler.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <cstdint>

#include "base/types.hpp"
#include "bench/floor.hpp"
#include "os/signal_frame_in_handler.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int faults = 2000;

// The load leaves the address to continue at in rbx.
void go_on(int, siginfo_t*, void* argument) {
  auto* const context = static_cast<ucontext_t*>(argument);
  context->uc_mcontext.gregs[REG_RIP] = context->uc_mcontext.gregs[REG_RBX];
}

void load_and_go_on(const void* page) {
  asm volatile(
      "lea 1f(%%rip), %%rbx\n\t"
      "movb (%[page]), %%al\n"
      "1:"
      :
      : [page] "r"(page)
      : "rax", "rbx", "memory");
}

const void* wild_page() {
  static const void* const page =
      ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page;
}

double time_faults() {
  std::vector<double> times;
  for (int i = 0; i < faults; ++i) {
    const Stopwatch watch;
    load_and_go_on(wild_page());
    times.push_back(watch.microseconds());
  }
  return median(std::move(times));
}

// The kernel's own struct sigaction.
struct KernelAction {
  std::uintptr_t handler;
  std::uint64_t flags;
  std::uintptr_t restorer;
  std::uint64_t mask;
};

long set_in_kernel(const KernelAction* wanted, KernelAction* before) {
  return os::in_handler::raw_call(SYS_rt_sigaction, SIGSEGV, reinterpret_cast<long>(wanted),
                                  reinterpret_cast<long>(before), sizeof(std::uint64_t));
}

// Sets a handler directly in the kernel, past any in front of it, while it lives.
class InKernel {
 public:
  explicit InKernel(void (*handler)(int, siginfo_t*, void*)) {
    set_in_kernel(nullptr, &before_);
    KernelAction own = before_;  // with its restorer
    own.handler = reinterpret_cast<std::uintptr_t>(handler);
    own.mask = 0;
    own.flags &= ~std::uint64_t{SA_ONSTACK};
    set_in_kernel(&own, nullptr);
  }
  ~InKernel() { set_in_kernel(&before_, nullptr); }
  InKernel(const InKernel&) = delete;
  InKernel& operator=(const InKernel&) = delete;

 private:
  KernelAction before_{};
};

double time_faults_past_everybody() {
  const InKernel handler(go_on);
  return time_faults();
}

void open_page(int, siginfo_t* info, void*) {
  const auto page = reinterpret_cast<std::uintptr_t>(info->si_addr) & ~(page_size - 1);
  ::mprotect(reinterpret_cast<void*>(page), page_size, PROT_READ | PROT_WRITE);
}

Space open_after_setting_handler(Grade best) {
  struct sigaction action = {};
  action.sa_sigaction = go_on;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
  SpaceOptions options;
  options.best_grade = best;
  return need("open a space", Space::open(options));
}

}  // namespace

double time_signal_alone() { return time_faults_past_everybody(); }

std::vector<double> time_each_store_by_protection(std::byte* data, std::size_t size) {
  ::mprotect(data, size, PROT_NONE);
  const InKernel handler(open_page);
  return time_each_store(data, size);
}

HandlerRoundTrip::HandlerRoundTrip(Grade best) : space_(open_after_setting_handler(best)) {}

void HandlerRoundTrip::round() {
  baseline_.push_back(time_faults_past_everybody());
  value_.push_back(time_faults());
}

void HandlerRoundTrip::forget() {
  value_.clear();
  baseline_.clear();
}

void HandlerRoundTrip::finish(std::vector<Case>& cases) const {
  cases.push_back({"handler_round_trip", median(value_), "us", median(baseline_),
                   Goal{Goal::Side::at_most, 1.5}});
}

}  // namespace sluice::tool::bench
