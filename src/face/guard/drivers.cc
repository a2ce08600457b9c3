// Offers faults to the drivers that the guard keeps in front.
//
// There are two kinds. A driver that knows the guard registers functions that report if they
// answered, as Sluice does. Any other sets a SIGSEGV handler, as Intel's page-fault manager does.
// Such a handler answers its own faults and calls the previous handler for the rest; so the guard
// presents a handler of its own as the previous one, and if that is called, or the driver tries to
// set the default action meanwhile, the fault is not the driver's. The program's handler is called
// after the driver's has returned: mistakes that the driver makes in chaining (no siginfo, a wrong
// stack, wrong masks, a lock held meanwhile) affect only the guard's handler.
//
// The driver's handler is the first with SA_SIGINFO that comes from a library on the list (Intel's,
// and those named in SLUICE_GUARD_DRIVERS, separated by colons), or the very first one with
// SLUICE_GUARD_FIRST=1. Drivers of 2023 and later query the handler before they set theirs, and
// call that one; so a query by a listed library also returns the guard's handler.
//
// If the names do not fit (1 KiB) the program ends before main(): a truncated name could be another
// library's.
//
// Cost: a call on the guard's own stack for each driver asked, 20 ns besides the driver's own work.
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "face/guard/state.hpp"
#include "os/environment.hpp"
#include "sluice/guard.h"

namespace sluice::guard {
namespace {

using os::in_handler::call_on_own_stack;

constexpr int driver_limit = 8;

struct Driver {
  std::atomic<sluice_guard_answer> answer{nullptr};
  std::atomic<sluice_guard_touch> touch{nullptr};
  std::atomic<std::uintptr_t> handler{0};
  std::atomic<const void*> library{nullptr};  // where it is loaded
  Action action;                              // as it set it
};
constinit Driver drivers[driver_limit] = {};
constinit std::atomic<int> handler_drivers{0};

constinit char names[1024] = "libze_intel_gpu:libigdrcl:libze_intel_npu:";
constinit std::atomic<bool> first_is_driver{false};

thread_local bool is_asking = false;
thread_local bool was_passed_on = false;
thread_local unsigned answer_count = 0;

void on_passed_on(int, siginfo_t*, void*) noexcept { was_passed_on = true; }

struct HandlerCall {
  const Driver& driver;
  int signal;
  siginfo_t* info;
  ucontext_t* context;
};
void ask(void* argument) noexcept {
  const auto& asked = *static_cast<HandlerCall*>(argument);
  const std::uintptr_t handler = asked.driver.handler.load();
  if (handler == 0) return on_passed_on(0, nullptr, nullptr);
  if (asked.driver.action.has(SA_SIGINFO))
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(handler)(asked.signal, asked.info,
                                                                asked.context);
  else
    reinterpret_cast<void (*)(int)>(handler)(asked.signal);
}

const char* base_name(const char* path) noexcept {
  const char* name = path;
  for (; *path != 0; ++path)
    if (*path == '/') name = path + 1;
  return name;
}

bool is_listed(const char* path) noexcept {
  const char* const name = base_name(path);
  for (const char* entry = names; *entry != 0;) {
    const char* end = entry;
    while (*end != 0 && *end != ':') ++end;
    const auto size = static_cast<std::size_t>(end - entry);
    if (size != 0 && ::strncmp(name, entry, size) == 0) return true;
    entry = *end == ':' ? end + 1 : end;
  }
  return false;
}

Driver* driver_in(const void* library) noexcept {
  for (Driver& driver : drivers)
    if (driver.handler.load() != 0 && driver.library.load() == library) return &driver;
  return nullptr;
}

Driver* take_slot() noexcept {
  for (Driver& driver : drivers)
    if (driver.answer.load() == nullptr && driver.handler.load() == 0) return &driver;
  return nullptr;
}

void enter(Driver& driver, const Action& action, const void* library) noexcept {
  driver.action = action;
  driver.library.store(library);
  driver.handler.store(action.handler);
  handler_drivers.fetch_add(1);
}

Action found_by_driver() noexcept {
  return {reinterpret_cast<std::uintptr_t>(on_passed_on), SA_SIGINFO | 0x04000000U, libc_restorer(),
          0};
}

bool is_passing_on(const Action* wanted) noexcept {
  return wanted != nullptr && wanted->handler == reinterpret_cast<std::uintptr_t>(on_passed_on);
}

// Carries out a driver's call about its own handler.
void change_driver(Driver& driver, const Action* wanted, Action* before) noexcept {
  if (before != nullptr) *before = driver.action;
  if (wanted == nullptr) return;
  if (is_passing_on(wanted) || !wanted->is_function()) {
    driver.handler.store(0);
    handler_drivers.fetch_sub(1);
    return;
  }
  driver.action = *wanted;
  driver.handler.store(wanted->handler);
}

}  // namespace

unsigned answered() noexcept { return answer_count; }

bool has_drivers() noexcept {
  for (const Driver& driver : drivers)
    if (driver.answer.load() != nullptr || driver.handler.load() != 0) return true;
  return false;
}

bool has_handler_drivers() noexcept { return handler_drivers.load() != 0; }

bool is_for_driver(const Action* wanted, Action* before, const void* caller) noexcept {
  if (is_asking) {
    // Called in the driver's own handler: setting an action there passes the fault on.
    if (wanted != nullptr) was_passed_on = true;
    if (before != nullptr) *before = found_by_driver();
    return true;
  }
  const bool sets = wanted != nullptr && wanted->is_function() && wanted->has(SA_SIGINFO);
  const bool queries = wanted == nullptr && before != nullptr;
  if (!sets && !queries && !has_handler_drivers()) return false;
  Dl_info place = {};
  if (::dladdr(caller, &place) == 0 || place.dli_fname == nullptr) return false;
  if (Driver* const known = driver_in(place.dli_fbase)) {
    change_driver(*known, wanted, before);
    return true;
  }
  if (queries && is_listed(place.dli_fname)) {
    *before = found_by_driver();
    return true;
  }
  if (!sets || is_passing_on(wanted)) return is_passing_on(wanted);
  if (!is_listed(place.dli_fname) && !first_is_driver.exchange(false)) return false;
  Driver* const slot = take_slot();
  if (slot == nullptr) return false;
  if (before != nullptr) *before = found_by_driver();
  enter(*slot, *wanted, place.dli_fbase);
  return true;
}

bool ask_drivers(int signal, siginfo_t* info, ucontext_t* context) noexcept {
  if (!os::in_handler::has_address(*info)) return false;
  for (Driver& driver : drivers) {
    if (const auto answer = driver.answer.load(); answer != nullptr) {
      if (answer(signal, info, context) != 0) return ++answer_count != 0;
      continue;
    }
    if (driver.handler.load() == 0) continue;
    HandlerCall asked{driver, signal, info, context};
    was_passed_on = false;
    is_asking = true;
    call_on_own_stack(ask, &asked);
    is_asking = false;
    if (!was_passed_on) return ++answer_count != 0;
  }
  return false;
}

void resolve_buffer(std::uintptr_t begin, std::size_t size, bool writes) noexcept {
  if (begin == 0 || size == 0) return;
  for (Driver& driver : drivers)
    if (const auto touch = driver.touch.load(); touch != nullptr)
      touch(begin, size, writes ? 1 : 0);
}

[[noreturn]] void refuse_names() noexcept {
  static constexpr char text[] =
      "sluice: SLUICE_GUARD_DRIVERS (sluice run --driver) has more names than fit the 1 KiB that "
      "the "
      "guard keeps; name fewer drivers, each by the beginning of its file's name\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, sizeof text - 1);
  ::_exit(2);
}

void read_options(char** environment) noexcept {
  if (os::has_raised_rights()) return;  // the environment is another user's
  static constexpr char drivers_option[] = "SLUICE_GUARD_DRIVERS=";
  static constexpr char first_option[] = "SLUICE_GUARD_FIRST=1";
  for (char** entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
    if (::strcmp(*entry, first_option) == 0) first_is_driver.store(true);
    if (::strncmp(*entry, drivers_option, sizeof drivers_option - 1) != 0) continue;
    const char* const more = *entry + sizeof drivers_option - 1;
    const std::size_t used = ::strlen(names);
    if (used + ::strlen(more) >= sizeof names) refuse_names();
    ::strncat(names, more, sizeof names - used - 1);
  }
}

}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

extern "C" int sluice_guard_register(sluice_guard_answer answer, sluice_guard_touch touch) {
  ensure_ready();
  come_to_the_front();
  for (Driver& driver : drivers)
    if (driver.answer.load() == answer) return 0;
  Driver* const slot = take_slot();
  if (slot == nullptr || answer == nullptr) return -1;
  slot->touch.store(touch);
  slot->answer.store(answer);
  return 0;
}
