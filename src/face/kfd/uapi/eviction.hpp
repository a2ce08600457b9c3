// Eviction: when the queues of one process stop on all GPUs because another client needs memory of
// one, and when they go on.
//
// Linux 6.1: kfd_process.c, evict_process_worker, restore_process_worker; kfd_device.c,
// kgd2kfd_schedule_evict_and_restore_process. A process runs for 10 ms before it is evicted again,
// and is restored after 100 ms.
#pragma once

#include <algorithm>

#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

class Eviction {
 public:
  static constexpr Time least_active = std::chrono::milliseconds(10);
  static constexpr Time restored_after = std::chrono::milliseconds(100);

  // Memory of the GPU is needed. An eviction that is under way takes this GPU in.
  void ask(int gpu, Time now) noexcept {
    short_ |= std::uint64_t{1} << gpu;
    if (!is_under_way()) begins_ = std::max(now, active_since_ + least_active);
  }
  // GPUs whose memory is short, a bit for each.
  [[nodiscard]] std::uint64_t short_gpus() const noexcept { return short_; }
  [[nodiscard]] bool stops_queues() const noexcept { return ends_ != never; }

  // True once when it begins.
  [[nodiscard]] bool take_begin(Time now) noexcept {
    if (begins_ > now) return false;
    begins_ = never;
    ends_ = now + restored_after;
    return true;
  }
  // True once when it ends.
  [[nodiscard]] bool take_end(Time now) noexcept {
    if (ends_ > now) return false;
    ends_ = never;
    active_since_ = now;
    short_ = 0;
    return true;
  }

 private:
  [[nodiscard]] bool is_under_way() const noexcept { return begins_ != never || ends_ != never; }

  std::uint64_t short_ = 0;
  Time begins_ = never;
  Time ends_ = never;
  Time active_since_{0};
};

}  // namespace sluice::kfd
