// Signal handlers of the device process. Please read before changing anything: this runs inside
// SIGSEGV.
//
// An access that the page table allows is tried again (the mapping came in the meantime, or the
// cache was dropped). With recoverable faults, and where the launch is limited to what it was
// granted, the client is asked and the thread sleeps until it answers. Everything else leaves the
// kernel by siglongjmp, and its queue reports the fault. Where the client wants to know when an
// access has retired, the processor's trap flag runs that one instruction and then traps; the
// client keeps the pages there until it does. Nothing here allocates. The one lock, the page
// table's, is never held by a thread while it runs a kernel, so the interrupted thread cannot hold
// it.
//
// Other fatal signals (abort in a kernel, a fault on a thread that kernels made) end the process as
// they would without us; only their number is recorded, so that the client can report the cause of
// its device's death.
#include "device/soft/process/fault_in_handler.hpp"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "device/soft/process/device_process.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft::process {
namespace {

DeviceProcess* the_device = nullptr;

#if defined(__x86_64__)
// Page-fault error code, Intel SDM volume 3, 4.7: bit 1 write, bit 4 instruction fetch.
Access access_of(const ucontext_t& context) noexcept {
  return (context.uc_mcontext.gregs[REG_ERR] & 2) != 0 ? Access::write : Access::read;
}
bool is_fetch(const ucontext_t& context) noexcept {
  return (context.uc_mcontext.gregs[REG_ERR] & 16) != 0;
}
// The trap flag, Intel SDM volume 1, 3.4.3.3: the processor traps after the next instruction, or
// after one iteration of a string instruction.
void set_stepping(ucontext_t& context, bool on) noexcept {
  constexpr greg_t trap_flag = 0x100;
  greg_t& flags = context.uc_mcontext.gregs[REG_EFL];
  flags = on ? flags | trap_flag : flags & ~trap_flag;
}
#else
#error "say how this machine tells loads from stores in a signal context"
#endif

void note_and_die(int signal) noexcept {
  the_device->control->death_cause.store(static_cast<std::uint32_t>(signal));
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  kill(getpid(), signal);
}

// The access after which one instruction was to be run by itself has retired, or it has not and
// asks again or dies.
void conclude(Escape& escape, ucontext_t& context, bool retired) noexcept {
  if (!escape.stepping) return;
  escape.stepping = false;
  set_stepping(context, false);
  SharedFault& fault = the_device->control->rings[escape.kernel_ring].fault;
  fault.outcome.store(outcome_value(escape.stepped_fault, retired), std::memory_order_release);
  os::futex_wake_all(fault.outcome);
}

// Recoverable faults: posts the fault and sleeps until the client has answered.
std::uint32_t ask_client(int ring_index, std::uintptr_t address, Access access) noexcept {
  ControlArea& control = *the_device->control;
  SharedFault& fault = control.rings[ring_index].fault;
  fault.address.store(address, std::memory_order_relaxed);
  fault.access.store(static_cast<std::uint32_t>(access), std::memory_order_relaxed);
  fault.serial.fetch_add(1, std::memory_order_relaxed);
  fault.state.store(fault_posted, std::memory_order_release);
  control.events.fetch_add(1);
  os::futex_wake_all(control.events);

  const auto answered = [&] { return fault.state.load(std::memory_order_acquire) >= fault_retry; };
  if (!Spin(the_device->longest_spin()).until(answered)) {
    for (std::uint32_t seen; (seen = fault.state.load()) < fault_retry;) {
      os::futex_wait(fault.state, seen, std::chrono::steady_clock::time_point::max());
    }
  }
  return fault.state.exchange(fault_idle);
}

// True: try the access again.
bool is_answered(Escape& escape, ucontext_t& context, std::uintptr_t address,
                 Access access) noexcept {
  conclude(escape, context, false);
  const std::uint32_t answer = ask_client(escape.kernel_ring, address, access);
  if (answer == fault_retry_and_tell) {
    escape.stepping = true;
    escape.stepped_fault = the_device->control->rings[escape.kernel_ring].fault.serial.load();
    set_stepping(context, true);
  }
  return answer != fault_refused;
}

void on_bad_access(int signal, siginfo_t* info, void* machine) noexcept {
  const int saved_errno = errno;
  auto& context = *static_cast<ucontext_t*>(machine);
  Escape* escape = current_escape;
  if (escape == nullptr || info->si_code <= 0) {
    note_and_die(signal);
    return;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const Access access = access_of(context);
  const bool translatable = escape->kernel_ring >= 0 && signal == SIGSEGV && !is_fetch(context) &&
                            the_device->page_table.in_window(address);
  if (translatable) {
    const bool asks = the_device->settings.recoverable_faults != 0 || escape->limited;
    const bool known = the_device->page_table.admit(address, access);
    const bool answered = !known && asks && is_answered(*escape, context, address, access);
    if (answered && escape->limited) the_device->page_table.widen_limits(address, access);
    if (known || answered) {
      errno = saved_errno;
      return;
    }
  }
  conclude(*escape, context, false);
  escape->signal = signal;
  escape->address = address;
  escape->access = access;
  siglongjmp(escape->target, 1);
}

void on_fatal_signal(int signal) noexcept { note_and_die(signal); }

void on_trap(int signal, siginfo_t* info, void* machine) noexcept {
  Escape* escape = current_escape;
  if (escape == nullptr || !escape->stepping || info->si_code != TRAP_TRACE) {
    note_and_die(signal);
    return;
  }
  const int saved_errno = errno;
  conclude(*escape, *static_cast<ucontext_t*>(machine), true);
  errno = saved_errno;
}

}  // namespace

void install_fault_handlers(DeviceProcess& device) noexcept {
  the_device = &device;
  struct sigaction action = {};
  action.sa_sigaction = on_bad_access;
  // NODEFER: the handler is left by siglongjmp, which does not restore the mask (that would be a
  // system call a launch).
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
  action.sa_sigaction = on_trap;
  sigaction(SIGTRAP, &action, nullptr);
  action = {};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGTERM, SIGXCPU})
    sigaction(signal, &action, nullptr);
}

bool give_handler_stack() noexcept {
  constexpr std::size_t size = 64 * 1024;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = size;
  return sigaltstack(&stack, nullptr) == 0;
}

}  // namespace sluice::device::soft::process
