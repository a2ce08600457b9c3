// DeviceEventQueue: events of devices on their way to the one thread that answers them.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "base/result.hpp"
#include "engine/jobs.hpp"
#include "engine/worker.hpp"

namespace sluice::engine {

// Thread-safe. Allocates nothing after start().
class DeviceEventQueue {
 public:
  [[nodiscard]] Result<void> start(std::function<void(const DeviceEvent&)> work) {
    return worker_.start("sluice-devices", std::move(work));
  }
  void stop() noexcept { worker_.stop(); }
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { worker_.forget(); }

  // Returns false if the queue is full. The access is then to be retried, and faults again.
  [[nodiscard]] bool add(const DeviceEvent& event) noexcept {
    return worker_.add([&] { return event; });
  }
  void wait_and_add(const DeviceEvent& event) noexcept {
    worker_.wait_and_add([&] { return event; });
  }

  // The space closes: no event is deferred any more.
  void close() noexcept { closing_ = true; }
  [[nodiscard]] bool is_closing() const noexcept { return closing_; }

 private:
  Worker<DeviceEvent> worker_;
  std::atomic<bool> closing_{false};
};

}  // namespace sluice::engine
