// Starts and ends threads. See program/threads.hpp.

#include "program/threads.hpp"

#include <signal.h>

#include <string>
#include <system_error>
#include <utility>

#include "os/errors.hpp"
#include "program/need.hpp"

namespace sluice::program {

std::thread start_thread(std::function<void()> run) {
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    const auto refused =
        os::start_failed(error.code().value(), "starting a thread of this program");
    throw CannotRun(std::string(refused.value().detail()));
  }
}

void Threads::add(std::function<void()> run) { threads_.push_back(start_thread(std::move(run))); }

void Threads::signal(int number) const {
  for (const std::thread& thread : threads_)
    pthread_kill(const_cast<std::thread&>(thread).native_handle(), number);
}

void Threads::end() {
  stop_();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace sluice::program
