// Finds a thread of this process that is blocked in an access to memory watched by userfaultfd.
#pragma once

#include <cstdint>

namespace sluice::os {

struct StalledThread {
  std::int32_t id = 0;  // 0: none
  char name[16] = {};
};

// The first that the kernel reports (proc_pid_wchan(5)), or none. Allocates nothing, because such a
// thread may hold the allocator's lock.
[[nodiscard]] StalledThread find_stalled_thread() noexcept;

}  // namespace sluice::os
