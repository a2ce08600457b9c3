// Makes memory files: four system calls, about 10 us.
//
// Linux counts the size of a memory file against RLIMIT_FSIZE, and sends SIGXFSZ to a program that
// exceeds it. So the limit is checked first. A kernel that cannot seal a file leaves it unsealed;
// nothing here depends on the seals.
#include "os/memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdint>

#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/new_descriptors.hpp"

namespace sluice::os {

std::size_t largest_file() noexcept {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  return limit.rlim_cur;
}

Result<void> check_file_size(const char* name, std::size_t size) noexcept {
  if (const std::size_t limit = largest_file(); size > limit)
    return fail(ErrorCode::out_of_host_memory,
                "the memory file '%s' of %zu bytes is above the limit on the size of "
                "files, %zu "
                "bytes (ulimit -f, RLIMIT_FSIZE); raise the limit or ask for less",
                name, size, limit);
  return {};
}

Result<OwnedFd> make_memory_file(const char* name, std::size_t size, unsigned flags) noexcept {
  SLUICE_TRY(check_file_size(name, size));
  const NewDescriptors making;
  OwnedFd file(calls().memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.is_open()) return call_failed(errno, "memfd_create");
  if (calls().ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return call_failed(errno, "ftruncate of a memory file");
  (void)::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return file;
}

}  // namespace sluice::os
