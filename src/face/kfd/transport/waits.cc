// Waits of calls: a read() of a timer, which Linux itself restarts or ends after a signal.
//
// After a handler with SA_RESTART Linux issues the read again, and the call goes on waiting for
// what it began once; after one without it the call ends with EINTR. A wait that may go on earlier
// has its timer set to now. A signal that comes between the call and the read is one that came
// before the call.
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "face/kfd/transport/signals_blocked.hpp"
#include "face/kfd/transport/state.hpp"

namespace sluice::kfd {
namespace {

// For ever is some centuries.
constexpr Time longest = std::chrono::hours(24 * 365 * 100);

void set_timer(int timer, Time when) noexcept {
  // 0 would stop it.
  const Time at = std::clamp(when, Time{1}, longest);
  itimerspec setting{};
  setting.it_value.tv_sec = static_cast<time_t>(at.count() / 1'000'000'000);
  setting.it_value.tv_nsec = static_cast<long>(at.count() % 1'000'000'000);
  (void)::timerfd_settime(timer, TFD_TIMER_ABSTIME, &setting, nullptr);
}

}  // namespace

int State::wait_for(const Wait& wait, std::span<std::byte> arguments) {
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  {
    const SignalsBlocked blocked;
    const MutexLock lock(mutex_);
    if (timer >= 0) {
      timers_[wait.number] = timer;
      // Events that were set since the call began have woken nobody.
      set_timer(timer, Time{1});
    }
  }
  bool interrupted = wait.is_interrupted || timer < 0;
  Answer answer;
  while (true) {
    std::uint64_t expirations = 0;
    if (!interrupted)
      interrupted = ::read(timer, &expirations, sizeof expirations) < 0 && errno == EINTR;
    const SignalsBlocked blocked;
    const MutexLock lock(mutex_);
    answer = machine_.resume(process_, wait.number, interrupted, arguments);
    if (!answer.wait) {
      timers_.erase(wait.number);
      break;
    }
    set_timer(timer, answer.wait->until);
  }
  if (timer >= 0) ::close(timer);
  return answer.error;
}

void State::wake(WaitNumber wait) {
  const auto found = timers_.find(wait);
  if (found != timers_.end()) set_timer(found->second, Time{1});
}

}  // namespace sluice::kfd
