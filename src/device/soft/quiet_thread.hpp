// Threads of the back end inside the program: no signal of the application is ever delivered to them.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "base/result.hpp"
#include "os/errors.hpp"

namespace sluice::device::soft {

// Starts `run` on a new thread with every signal blocked. out_of_host_memory when Linux has no thread left.
template <typename Run>
[[nodiscard]] Result<void> start_quiet_thread(std::thread& thread, Run&& run) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> started;
  try {
    thread = std::thread(std::forward<Run>(run));
  } catch (const std::system_error& error) {
    started = os::call_failed(error.code().value() == EAGAIN ? ENOMEM : error.code().value(), "starting a thread");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace sluice::device::soft
