// Hints: a queue and its thread, started by the first hint of a context.
//
// A hint waits on this thread for the events that it depends on, so a hint behind a slow one is
// late; that costs speed only. What it does not do: touch managed memory, or call the program.
#include "hints.hpp"

#include "os/futex.hpp"

namespace sluice::opencl {

Hints::~Hints() {
  MutexLock lock(mutex_);
  if (started_) worker_.stop();
}

bool Hints::start() {
  MutexLock lock(mutex_);
  if (started_) return true;
  started_ = worker_
                 .start("sluice-hints",
                        [this](const Job& job) {
                          (*job)();
                          ++done_;
                          bell_.fetch_add(1, std::memory_order_release);
                          os::futex_wake_all(bell_);
                        })
                 .has_value();
  return started_;
}

bool Hints::add(std::function<void()> job) {
  if (!start()) return false;
  auto held = std::make_shared<std::function<void()>>(std::move(job));
  ++added_;
  worker_.wait_and_add([&] { return held; });
  return true;
}

void Hints::wait_for_all() const noexcept {
  const std::uint64_t wanted = added_;
  while (true) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    if (done_ >= wanted) return;
    os::futex_wait(bell_, heard, std::chrono::steady_clock::time_point::max());
  }
}

}  // namespace sluice::opencl
