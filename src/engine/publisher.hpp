// Publisher: shows a space to `sluice top`, when that asks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/result.hpp"
#include "observe/status_page.hpp"
#include "os/owned_fd.hpp"
#include "os/threads.hpp"

namespace sluice::engine {

class Publisher {
 public:
  Publisher() = default;
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  ~Publisher() { stop(); }

  // `fill` sets all of a page but what tells of the page itself. Without a descriptor, a thread or
  // memory to spare the space is not shown; is_shown() tells.
  void start(std::uint32_t space, std::function<void(observe::StatusPage&)> fill) noexcept;
  // The files end with it.
  void stop() noexcept;
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept;
  [[nodiscard]] bool is_shown() const noexcept { return page_ != nullptr; }

 private:
  [[nodiscard]] Result<void> open();
  void run() noexcept;
  void answer(std::uint32_t request) noexcept;
  void release() noexcept;

  std::function<void(observe::StatusPage&)> fill_;
  os::OwnedFd page_file_;
  os::OwnedFd request_file_;
  observe::StatusPage* page_ = nullptr;        // mapped
  observe::StatusRequest* request_ = nullptr;  // mapped
  std::uint32_t space_ = 0;
  std::uint64_t opened_ = 0;
  std::atomic<bool> stopping_{false};
  os::Thread thread_;
};

}  // namespace sluice::engine
