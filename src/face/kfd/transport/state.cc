// Makes ioctls calls of the machine. Signals wait while its lock is held, because their handlers
// may make such calls too; a call that has to wait takes them as Linux does (waits.cc).
#include "face/kfd/transport/state.hpp"

#include <linux/ioctl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include "face/kfd/drm/drm.hpp"
#include "face/kfd/transport/signals_blocked.hpp"
#include "os/environment.hpp"
#include "os/report.hpp"
#include "os/uncancelled.hpp"

namespace sluice::kfd {
namespace {

std::atomic<State*> current{nullptr};

std::uint64_t system_bytes(const MachineSpec& spec) {
  if (spec.system != 0) return spec.system;
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return std::uint64_t{1} << 30;
  return std::uint64_t{info.totalram} * info.mem_unit;
}

}  // namespace

State::State(const MachineSpec& spec, StepPlan plan)
    : spec_(spec),
      process_id_(::getpid()),
      plan_(std::move(plan)),
      machine_(spec, system_bytes(spec), *this),
      process_(machine_.add_process(static_cast<std::uint32_t>(process_id_))),
      account_(spec.gpus) {}

State* State::get_if_made() noexcept {
  State* const made = current.load(std::memory_order_acquire);
  return made != nullptr && made->process_id_ == ::getpid() ? made : nullptr;
}

State* State::get() noexcept {
  if (State* const made = get_if_made()) return made;
  State* before = current.load(std::memory_order_acquire);
  State* const fresh = make();
  if (fresh == nullptr) return nullptr;
  // Another thread may have been faster.
  if (!current.compare_exchange_strong(before, fresh)) {
    delete fresh;
    return before;
  }
  return fresh;
}

State* State::make() noexcept {
  try {
    const char* const text = os::environment("SLUICE_KFD");
    const char* const plan_text = os::environment("SLUICE_FAULT_PLAN");
    const auto spec = parse_spec(text != nullptr ? text : "");
    if (!spec) {
      os::report("%.*s", static_cast<int>(spec.error().detail().size()),
                 spec.error().detail().data());
      return nullptr;
    }
    auto plan = StepPlan::make(plan_text != nullptr ? plan_text : "", spec->gpus);
    if (!plan) {
      os::report("%.*s", static_cast<int>(plan.error().detail().size()),
                 plan.error().detail().data());
      return nullptr;
    }
    return new State(*spec, *std::move(plan));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

int State::call(const OpenFile& file, unsigned long request, void* arguments) noexcept {
  // kfd_ioctl: a file of the parent's is of no use after fork().
  int error = EBADF;
  if (file.process == process_id_) {
    try {
      const os::Uncancelled whole_call;
      const auto number = static_cast<std::uint32_t>(request);
      const std::size_t size = _IOC_SIZE(number);
      std::vector<std::byte> copy(size);
      const bool reads = (_IOC_DIR(number) & _IOC_WRITE) != 0;
      if (reads && !read(reinterpret_cast<std::uintptr_t>(arguments), copy)) {
        error = EFAULT;
      } else if (file.gpu < 0) {
        error = call_kfd(number, copy, arguments);
      } else {
        error = call_drm(file, number, copy, arguments);
      }
    } catch (const std::bad_alloc&) {
      error = ENOMEM;
    }
  }
  if (error == 0) return 0;
  errno = error == restart ? EINTR : error;
  return -1;
}

// Also after an error.
bool State::copy_out(std::uint32_t request, std::span<const std::byte> arguments, void* user) {
  if ((_IOC_DIR(request) & _IOC_READ) == 0) return true;
  return write(reinterpret_cast<std::uintptr_t>(user), arguments);
}

int State::call_drm(const OpenFile& file, std::uint32_t request, std::span<std::byte> arguments,
                    void* user) {
  int error = 0;
  {
    const SignalsBlocked blocked;
    const MutexLock lock(mutex_);
    const auto of_gem = gem_.call(file, request, arguments);
    error = of_gem ? *of_gem : drm_call(spec_, request, arguments, *this);
    if (error == ENOTTY) tell_unserved(request, true);
  }
  return copy_out(request, arguments, user) ? error : EFAULT;
}

int State::call_kfd(std::uint32_t request, std::span<std::byte> arguments, void* user) {
  Answer answer;
  {
    const SignalsBlocked blocked;
    const MutexLock lock(mutex_);
    account_.count_call((request & 0xff) == static_cast<std::uint32_t>(abi::Call::map_memory));
    answer = machine_.call(process_, request, arguments);
    if (answer.error == ENOTTY) tell_unserved(request, false);
    if (!is_running_ && machine_.has_queues()) start_running();
  }
  // A handler that interrupts the wait finds the results so far, as after Linux's own return.
  if (!copy_out(request, arguments, user)) return EFAULT;
  if (!answer.wait) return answer.error;
  const int error = wait_for(*answer.wait, arguments);
  return copy_out(request, arguments, user) ? error : EFAULT;
}

void State::tell_unserved(std::uint32_t request, bool is_drm) {
  const char* const name = is_drm ? nullptr : Machine::unserved_name(request);
  // Linux has no other ioctl of /dev/kfd either.
  if (!is_drm && name == nullptr) return;
  if (!told_.insert((request & 0xff) | (is_drm ? 0x100 : 0)).second) return;
  os::report("%s ioctl 0x%x%s%s is not served; it answers ENOTTY (docs/kfd.md)",
             is_drm ? "render node:" : "/dev/kfd:", request & 0xff, name != nullptr ? ", " : "",
             name != nullptr ? name : "");
}

}  // namespace sluice::kfd
