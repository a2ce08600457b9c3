// Disposal: gives back what freed ranges held, on threads of the engine.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.hpp"
#include "engine/range.hpp"
#include "engine/worker.hpp"

namespace sluice::engine {

// The steps in which a range ends that nobody uses any more.
struct DisposalSteps {
  // Ends its mappings on devices, and returns their memory. Waits for no kernel.
  std::function<void(Range&)> leave_devices;
  // Ends it. A driver may wait for kernels here.
  std::function<void(std::unique_ptr<Range>)> end;
  // No range was freed for two seconds.
  std::function<void()> idle;
};

// Thread-safe. A step waits for nothing that a caller of finish() may hold.
class Disposal {
 public:
  // No more than this many bytes are under way.
  static constexpr std::size_t most_pending = std::size_t{4} << 30;

  explicit Disposal(DisposalSteps steps) : steps_(std::move(steps)) {}

  [[nodiscard]] Result<void> start();
  // Ends what was taken before.
  void stop() noexcept;
  // Call in a forked child, where the threads do not exist.
  void forget() noexcept;

  // Null: the range was taken. Otherwise so much is under way that the caller ends it by itself.
  [[nodiscard]] std::unique_ptr<Range> take(std::unique_ptr<Range> range) noexcept;
  [[nodiscard]] bool is_busy() const noexcept { return pending_ != 0; }
  // Waits until all ranges that were taken before have left the devices. False: they had already.
  bool finish_on_devices() noexcept { return wait_for(left_); }
  // Waits until they have ended.
  bool finish() noexcept { return wait_for(ended_); }

 private:
  bool wait_for(const std::atomic<std::uint32_t>& done) const noexcept;
  static void note(std::atomic<std::uint32_t>& done) noexcept;

  const DisposalSteps steps_;
  std::atomic<std::size_t> pending_{0};  // bytes
  // Ranges, which go through in order.
  std::atomic<std::uint32_t> taken_{0};
  std::atomic<std::uint32_t> left_{0};
  std::atomic<std::uint32_t> ended_{0};
  Worker<Range*, 64> ending_;
  Worker<Range*, 64> leaving_;
};

}  // namespace sluice::engine
