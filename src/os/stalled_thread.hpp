// A thread of this process that stands in an access to memory that userfaultfd watches.
#pragma once

#include <cstdint>

namespace sluice::os {

struct StalledThread {
  std::int32_t id = 0;  // 0: none
  char name[16] = {};
};

// The first that the kernel tells of (proc_pid_wchan(5)); none where it tells nothing. Allocates
// nothing, because such a thread may hold the allocator's lock.
[[nodiscard]] StalledThread find_stalled_thread() noexcept;

}  // namespace sluice::os
