// See program/interruption.hpp.

#include "program/interruption.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace sluice::program {
namespace {

constexpr std::array signals{SIGINT, SIGHUP, SIGTERM};
std::atomic<int> asked{0};
static_assert(std::atomic<int>::is_always_lock_free);  // a handler stores it

void take_note(int signal) { asked.store(signal, std::memory_order_relaxed); }

}  // namespace

void watch_for_interruption() noexcept {
  struct sigaction action{};
  action.sa_handler = take_note;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (const int signal : signals) {
    struct sigaction before{};
    // nohup and background jobs of a shell ignore some of them.
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
      sigaction(signal, &action, nullptr);
  }
}

int interruption() noexcept { return asked.load(std::memory_order_relaxed); }

void end_by(int signal) noexcept {
  ::signal(signal, SIG_DFL);
  ::raise(signal);
  ::_exit(128 + signal);  // the signal is blocked
}

}  // namespace sluice::program
