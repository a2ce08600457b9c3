// MemoryShortage: waits out a moment in which Linux has no memory for a call.
//
// A memory group at its limit may find nothing to reclaim for a moment. A page fault then waits in
// the kernel (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control"), but a system call
// that needs the same page is refused with ENOMEM.
#pragma once

#include <chrono>

namespace sluice::os {

// For one call that is made until it succeeds. Never allocates; for fault handlers.
class MemoryShortage {
 public:
  // Waits before the call is made again. False: that has been done for long enough.
  [[nodiscard]] bool wait() noexcept;

 private:
  static constexpr std::chrono::seconds patience{3};

  std::chrono::steady_clock::time_point end_{};  // of the patience; the epoch: not begun
};

}  // namespace sluice::os
