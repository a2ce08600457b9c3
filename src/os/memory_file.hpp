// Makes memory files (memfd_create(2)) of a fixed size.
#pragma once

#include <cstddef>

#include "base/result.hpp"
#include "os/owned_fd.hpp"

namespace sluice::os {

// A sparse file of zeros. Its size is sealed (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL): a mapping
// of it never ends in SIGBUS because another process truncated it. `flags`: more MFD_* flags.
// Errors: out_of_host_memory (descriptors, memory, or the size is above the limit on files, ulimit
// -f; no SIGXFSZ is sent).
[[nodiscard]] Result<OwnedFd> make_memory_file(const char* name, std::size_t size,
                                               unsigned flags = 0) noexcept;

// out_of_host_memory if a memory file of this size would be above the limit (ulimit -f).
[[nodiscard]] Result<void> check_file_size(const char* name, std::size_t size) noexcept;

// The largest memory file that the limit on the size of files allows (RLIMIT_FSIZE). SIZE_MAX:
// none.
[[nodiscard]] std::size_t largest_file() noexcept;

}  // namespace sluice::os
