// JobThread: a queue and its thread, started by the first job.
//
// A job may wait for events, so one behind a slow one is late; that costs speed only, where no job
// of the thread is what another waits for. What it does not do: call the program.
#include "job_thread.hpp"

#include "os/futex.hpp"

namespace sluice::opencl {

JobThread::~JobThread() {
  MutexLock lock(mutex_);
  if (started_) worker_.stop();
}

bool JobThread::start() {
  MutexLock lock(mutex_);
  if (started_) return true;
  started_ = worker_
                 .start(name_,
                        [this](const Job& job) {
                          (*job)();
                          ++done_;
                          bell_.fetch_add(1, std::memory_order_release);
                          os::futex_wake_all(bell_);
                        })
                 .has_value();
  return started_;
}

bool JobThread::add(std::function<void()> job) {
  if (!start()) return false;
  auto held = std::make_shared<std::function<void()>>(std::move(job));
  ++added_;
  worker_.wait_and_add([&] { return held; });
  return true;
}

void JobThread::wait_for_all() const noexcept {
  const std::uint64_t wanted = added_;
  while (true) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    if (done_ >= wanted) return;
    os::futex_wait(bell_, heard, std::chrono::steady_clock::time_point::max());
  }
}

}  // namespace sluice::opencl
