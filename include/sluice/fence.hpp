// Fence: a point on a device's timeline that completes once, with success or with an error.
//
// A small value; copies name the same point. A default-constructed fence is complete. Members may
// be called from several threads at once. A fence keeps its space open.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "sluice/export.hpp"
#include "sluice/result.hpp"
#include "sluice/timeout.hpp"

namespace sluice {

namespace engine {
class Engine;
}

// How a wait reacts when the waiting thread handles a signal. An interrupted wait changes nothing:
// the work goes on, and the next wait only waits for the rest of it.
enum class OnSignal : std::uint8_t {
  keep_waiting,
  return_interrupted,
};

class SLUICE_EXPORT Fence {
 public:
  using Clock = std::chrono::steady_clock;

  Fence() noexcept = default;

  // Complete, with success or not. Never blocks.
  [[nodiscard]] bool done() const noexcept;
  // Complete with an error, which wait() returns.
  [[nodiscard]] bool failed() const noexcept;

  // Waits until the fence is complete and returns its outcome; every call returns the same one.
  //   device_fault  a kernel touched an address that its device cannot reach; the detail names it
  //   device_lost   the device was lost before the work was done
  //   timed_out     the deadline passed; the work goes on
  //   interrupted   only with OnSignal::return_interrupted
  [[nodiscard]] Result<void> wait(OnSignal on_signal = OnSignal::keep_waiting) const;
  [[nodiscard]] Result<void> wait_for(std::chrono::nanoseconds timeout,
                                      OnSignal on_signal = OnSignal::keep_waiting) const;
  template <typename Rep, typename Period>
  [[nodiscard]] Result<void> wait_for(std::chrono::duration<Rep, Period> timeout,
                                      OnSignal on_signal = OnSignal::keep_waiting) const {
    return wait_for(saturated<std::chrono::nanoseconds>(timeout), on_signal);
  }
  [[nodiscard]] Result<void> wait_until(Clock::time_point deadline,
                                        OnSignal on_signal = OnSignal::keep_waiting) const;

  // True if both name the same point.
  friend bool operator==(const Fence&, const Fence&) noexcept = default;

 private:
  friend struct Inside;  // src/face/cpp/inside.hpp

  std::shared_ptr<engine::Engine> engine_;
  std::int16_t device_ = -1;
  std::uint16_t timeline_ = 0;
  std::uint64_t value_ = 0;
};

}  // namespace sluice
