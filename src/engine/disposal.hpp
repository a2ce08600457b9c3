// Disposal: gives back what large freed ranges held, on a thread of the engine.
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

// Thread-safe.
class Disposal {
 public:
  // No more than this many bytes wait for the thread.
  static constexpr std::size_t most_pending = std::size_t{4} << 30;

  // `dispose` ends a range that nothing uses any more, on the thread; it waits for nothing that a
  // caller of finish() may hold.
  // `idle` runs there when no range was taken for two seconds.
  Disposal(std::function<void(std::unique_ptr<Range>)> dispose, std::function<void()> idle)
      : dispose_(std::move(dispose)), idle_(std::move(idle)) {}

  [[nodiscard]] Result<void> start();
  // Ends what was taken before.
  void stop() noexcept { worker_.stop(); }
  // Call in a forked child, where the thread does not exist.
  void forget() noexcept { worker_.forget(); }

  // Null: the range was taken. Otherwise so much is under way that the caller ends it by itself.
  [[nodiscard]] std::unique_ptr<Range> take(std::unique_ptr<Range> range) noexcept;
  // Waits until all ranges that were taken before have ended. False: there were none.
  bool finish() noexcept;

 private:
  const std::function<void(std::unique_ptr<Range>)> dispose_;
  const std::function<void()> idle_;
  std::atomic<std::size_t> pending_{0};  // bytes
  std::atomic<std::uint32_t> taken_{0};  // ranges
  std::atomic<std::uint32_t> ended_{0};  // ranges, in order
  Worker<Range*, 64> worker_;
};

}  // namespace sluice::engine
