// RangeTraffic: what was done for a range. Always on: one relaxed add each.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace sluice::engine {

class RangeTraffic {
 public:
  struct Totals {
    std::uint64_t faults;      // host accesses that had to be answered
    std::uint64_t to_host;     // bytes
    std::uint64_t to_devices;  // bytes

    // One number to order ranges by: an access counts as its page.
    [[nodiscard]] std::uint64_t weight() const noexcept {
      return (faults << 12U) + to_host + to_devices;
    }
  };

  void note_fault() noexcept { faults_.fetch_add(1, std::memory_order_relaxed); }
  void note_copy(bool to_host, std::uint64_t bytes) noexcept {
    (to_host ? to_host_ : to_devices_).fetch_add(bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] Totals totals() const noexcept {
    return {faults_.load(std::memory_order_relaxed), to_host_.load(std::memory_order_relaxed),
            to_devices_.load(std::memory_order_relaxed)};
  }
  // The weight since the last call. For one thread, the publisher's.
  [[nodiscard]] std::uint64_t take_recent(std::uint64_t weight) noexcept {
    return weight - std::exchange(seen_, weight);
  }

 private:
  std::atomic<std::uint64_t> faults_{0};
  std::atomic<std::uint64_t> to_host_{0};
  std::atomic<std::uint64_t> to_devices_{0};
  std::uint64_t seen_ = 0;
};

}  // namespace sluice::engine
