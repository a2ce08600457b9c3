// RecoverableFaults: accesses of kernels that stall until the engine has answered them.
#pragma once

#include <cstdint>

#include "device/fence.hpp"

namespace sluice::device {

// A device that reports EventSink::device_access_fault() has it. Thread-safe, as all of Device. A
// fault is named by the number that the report gave; one that was answered before, or is of a
// device that was lost since, is ignored.
class RecoverableFaults {
 public:
  // Answers a stalled access: the device tries it again, or (false) treats it as fatal.
  virtual void answer_fault(std::uint32_t fault, bool resolved) noexcept = 0;
  // Answers with a retry, and waits until that access has retired: has loaded or stored all its
  // bytes. False: it has not; it asked for another page, or died, or the deadline passed.
  [[nodiscard]] virtual bool answer_and_await(std::uint32_t fault,
                                              Clock::time_point until) noexcept = 0;
  // The launch that stalls in this access until it is answered.
  [[nodiscard]] virtual Fence launch_of(std::uint32_t fault) const noexcept = 0;
  // A number that identifies the queue of the kernel that made the access.
  [[nodiscard]] virtual std::uint32_t queue_of_fault(std::uint32_t fault) const noexcept = 0;

 protected:
  ~RecoverableFaults() = default;
};

}  // namespace sluice::device
