// poll(2), even if the process has reached its limit on descriptors.
#pragma once

#include <poll.h>

namespace sluice::os {

// As poll(2) for POLLIN and POLLOUT, except that a limit on descriptors (RLIMIT_NOFILE) below
// `count`, which poll refuses, is no error, nor is a refusal of poll itself: sandboxes do both once
// all is open. Allocates nothing.
[[nodiscard]] int poll_files(pollfd* files, nfds_t count, int timeout_ms) noexcept;

}  // namespace sluice::os
