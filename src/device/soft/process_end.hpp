// How a device process ended, for messages.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

namespace sluice::device::soft {

// Waits until the process has ended, and collects it where it is a child of this process (a child
// subreaper, the first process of a container); nobody else is waited for. Returns " (signal 9,
// Killed)" or " (exit status 3)"; an empty text where Linux does not tell, or the process goes on.
// Thread-safe.
[[nodiscard]] std::string collect_end(int pidfd, pid_t process, std::chrono::milliseconds limit);

}  // namespace sluice::device::soft
