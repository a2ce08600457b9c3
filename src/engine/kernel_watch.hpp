// KernelWatch: tells a trace how long kernels ran, and how much of what their launches name they
// used. Exists while a space writes a trace.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>

#include "base/result.hpp"
#include "device/fence.hpp"
#include "engine/launch.hpp"
#include "engine/worker.hpp"
#include "observe/observe.hpp"
#include "transfer/devices.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

struct KernelRun {
  static constexpr std::size_t most_uses = 6;

  device::Fence fence;
  std::uint64_t launched = 0;  // observe::now()
  std::uint64_t link = 0;
  std::uint32_t place = 0;
  std::array<AddressSpan, most_uses> uses{};  // the first that the launch names
  std::size_t count = 0;
};

class KernelWatch {
 public:
  KernelWatch(const transfer::Devices& devices, const transfer::Timelines& timelines,
              observe::Observer& observer) noexcept
      : devices_(devices), timelines_(timelines), observer_(observer) {}

  [[nodiscard]] Result<void> start();
  // The kernels that were added are waited for first.
  void stop() noexcept;
  // Call in a forked child, where the threads do not exist.
  void forget() noexcept;

  // The launch is in.
  void add(const LaunchState& launch, std::uint32_t place, std::uint64_t began) noexcept;
  // Kernels that came too fast to be watched.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  // One for each device: a kernel must not wait to be seen for one of another device.
  struct Watcher {
    Worker<KernelRun, 1024> thread;
    std::array<std::uint64_t, 64> ended{};  // by queue: when the last kernel ended
    std::uint64_t next_look = 0;
  };

  void watch(Watcher& watcher, const KernelRun& run) noexcept;
  void look(Watcher& watcher, const KernelRun& run) noexcept;

  const transfer::Devices& devices_;
  const transfer::Timelines& timelines_;
  observe::Observer& observer_;
  std::deque<Watcher> watchers_;
  std::atomic<std::uint64_t> left_out_{0};
};

}  // namespace sluice::engine
