// Each handler would end the process if it were called: no access to managed memory may ever reach
// it. Between changes the thread also blocks and unblocks everything for itself, and in the end it
// restores the action.
#include "stress/handlers.hpp"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>

#include "program/threads.hpp"

namespace sluice::stress {
namespace {

[[noreturn]] void give_up() {
  constexpr std::string_view last_words =
      "stress: FAIL: a handler of SIGSEGV that another thread set was called\n";
  if (write(STDERR_FILENO, last_words.data(), last_words.size()) < 0) {
  }
  std::abort();
}
void on_signal(int) { give_up(); }
void on_signal_with_info(int, siginfo_t*, void*) { give_up(); }

void set_one(int number) {
  struct sigaction action = {};
  if (number % 3 == 0) {
    action.sa_sigaction = on_signal_with_info;
    action.sa_flags = SA_SIGINFO | (number % 2 == 0 ? SA_ONSTACK : 0);
  } else {
    action.sa_handler = number % 3 == 1 ? on_signal : SIG_DFL;
  }
  sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace

HandlerChanges::HandlerChanges(int per_second) {
  if (per_second > 0) thread_ = program::start_thread([this, per_second] { run(per_second); });
}

HandlerChanges::~HandlerChanges() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void HandlerChanges::run(int per_second) {
  struct sigaction before = {};
  sigaction(SIGSEGV, nullptr, &before);
  const auto pause = std::chrono::nanoseconds(std::chrono::seconds(1)) / per_second;
  sigset_t all;
  sigfillset(&all);
  for (int number = 0; !stop_; ++number) {
    set_one(number);
    pthread_sigmask(number % 2 == 0 ? SIG_BLOCK : SIG_UNBLOCK, &all, nullptr);
    std::this_thread::sleep_for(pause);
  }
  sigaction(SIGSEGV, &before, nullptr);
}

}  // namespace sluice::stress
