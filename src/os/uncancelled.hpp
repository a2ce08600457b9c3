// Uncancelled: no thread is cancelled (pthread_cancel) during a call of the library. So a call
// never leaves half-made changes or held locks behind, and unwinds nothing that must not be
// unwound. A request stays pending until the thread's next cancellation point after the call;
// pthread_setcancelstate(3). Cost: some nanoseconds. What it does not do: protect a thread with
// asynchronous cancellation, which POSIX lets call next to nothing (pthreads(7)); such a thread may
// touch managed memory.
#pragma once

#include <pthread.h>

namespace sluice::os {

class [[nodiscard]] Uncancelled {
 public:
  Uncancelled() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  Uncancelled(const Uncancelled&) = delete;
  Uncancelled& operator=(const Uncancelled&) = delete;
  ~Uncancelled() { ::pthread_setcancelstate(before_, nullptr); }

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace sluice::os
