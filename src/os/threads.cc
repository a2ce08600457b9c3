// Starts threads with all signals blocked. The mask is set around pthread_create, because a new
// thread inherits it: setting it inside would leave a window in which a handler of the application
// could run here.
#include "os/threads.hpp"

#include <link.h>
#include <signal.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/types.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"

namespace sluice::os {
namespace {

// Sanitizers need more than the 64 KiB that we do.
constexpr std::size_t thread_stack_size = std::size_t{512} << 10;

// glibc puts thread-local variables of the program and its libraries on a thread's stack. Where
// they need more than that it refuses the thread, and where they need nearly all of it the thread
// would crash.
std::size_t stack_size() {
  std::size_t variables = 0;
  const auto add = [](dl_phdr_info* loaded, std::size_t /*size*/, void* sum) {
    for (std::size_t i = 0; i < loaded->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = loaded->dlpi_phdr[i];
      if (segment.p_type == PT_TLS)
        *static_cast<std::size_t*>(sum) += segment.p_memsz + segment.p_align;
    }
    return 0;
  };
  ::dl_iterate_phdr(add, &variables);
  return round_up(thread_stack_size + variables, page_size);
}

struct Start {
  std::array<char, 16> name{};  // as many as Linux keeps
  std::function<void()> run;
};

void* run_thread(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  ::pthread_setname_np(::pthread_self(), start->name.data());
  // Short sleeps end on time: by default Linux adds 50 us, more than a copy of a block takes.
  (void)::prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  start->run();
  return nullptr;
}

}  // namespace

Result<Thread> Thread::start(const char* name, std::function<void()> run) {
  auto* const start = new (std::nothrow) Start;
  if (start == nullptr)
    return fail(ErrorCode::out_of_host_memory, "starting thread %s: no memory for its record",
                name);
  std::strncpy(start->name.data(), name, start->name.size() - 1);
  start->run = std::move(run);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack_size());
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  Thread thread;
  const int error = calls().create_thread(&thread.handle_, &attributes, run_thread, start);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) {
    delete start;  // otherwise the thread does
    if (error == EPERM || error == ENOSYS)
      return call_failed(error, "pthread_create (clone3, clone, mmap, mprotect)");
    std::array<char, 64> what;
    std::snprintf(what.data(), what.size(), "starting thread %s", name);
    return start_failed(error, what.data());
  }
  thread.joinable_ = true;
  return thread;
}

void Thread::join() noexcept {
  if (joinable_) ::pthread_join(handle_, nullptr);
  joinable_ = false;
}

}  // namespace sluice::os
