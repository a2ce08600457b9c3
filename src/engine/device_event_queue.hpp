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
  // For a forked child, where the thread does not exist.
  void forget() noexcept { worker_.forget(); }

  // False: there is no place. The access is to be made again, and asks again.
  [[nodiscard]] bool add(const DeviceEvent& event) noexcept {
    return worker_.add([&] { return event; });
  }
  void wait_and_add(const DeviceEvent& event) noexcept {
    worker_.wait_and_add([&] { return event; });
  }

  // The space closes: nothing is put off any more.
  void close() noexcept { closing_ = true; }
  [[nodiscard]] bool is_closing() const noexcept { return closing_; }

 private:
  Worker<DeviceEvent> worker_;
  std::atomic<bool> closing_{false};
};

}  // namespace sluice::engine
