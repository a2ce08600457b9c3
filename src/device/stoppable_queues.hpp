// StoppableQueues: queues that can be stopped, so that memory which their kernels may use without
// the engine's knowledge can move.
#pragma once

#include "base/result.hpp"
#include "device/fence.hpp"

namespace sluice::device {

// Thread-safe, as all of Device.
class StoppableQueues {
 public:
  // Requests the stop and returns at once: no kernel of any submitter begins from then on until
  // restart_queues(). Copies, fills and mappings go on. A device that is reset meanwhile stays
  // stopped. One stop at a time: busy otherwise.
  [[nodiscard]] virtual Result<void> stop_queues() = 0;
  // Returns when no kernel runs: running kernels have completed. Errors: timed_out, naming a queue
  // that still runs a kernel; interrupted; device_lost. After an error, too, the queues are stopped
  // until they are restarted.
  [[nodiscard]] virtual Result<void> wait_stopped(const Wait& how) const = 0;
  // Without a stop it does nothing.
  virtual void restart_queues() noexcept = 0;

 protected:
  ~StoppableQueues() = default;
};

}  // namespace sluice::device
