// The thread on which queues run. It looks at the doorbells: often while there is work, and every
// half millisecond at last. Nobody can tell it of a store to a doorbell.
//
// A copy is made under the lock, so a call waits for the packets under way.
#include <time.h>

#include <algorithm>
#include <new>

#include "face/kfd/transport/state.hpp"
#include "os/report.hpp"

namespace sluice::kfd {
namespace {

constexpr long shortest_pause = 2'000;  // nanoseconds
constexpr long longest_pause = 500'000;

void pause_for(long nanoseconds) noexcept {
  const timespec pause{0, nanoseconds};
  (void)::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
}

}  // namespace

void State::start_running() {
  // One that ran before has ended, or is about to.
  runner_.join();
  auto started = os::Thread::start("sluice-kfd", [this] { run_until_idle(); });
  if (!started) {
    os::report("no thread can be started for the queues of GPUs; they do not run");
    return;
  }
  runner_ = *std::move(started);
  is_running_ = true;
}

// The lock is taken before a message is read, so the thread that unmaps cannot make a call that
// finds the attributes still there.
void State::forget_unmapped() {
  const MutexLock lock(mutex_);
  for (auto gone = unmap_watch_.read(); gone.size != 0; gone = unmap_watch_.read())
    machine_.forget_memory(process_, gone.address, gone.size);
}

void State::run_until_idle() {
  long pause = shortest_pause;
  while (true) {
    bool worked = false;
    {
      const MutexLock lock(mutex_);
      try {
        worked = machine_.run_queues();
      } catch (const std::bad_alloc&) {
        worked = false;  // tried again after a pause
      }
      if (!machine_.has_queues()) {
        is_running_ = false;
        return;
      }
    }
    pause = worked ? shortest_pause : std::min(pause * 2, longest_pause);
    pause_for(pause);
  }
}

}  // namespace sluice::kfd
