// Names failed Linux calls. strerrorname_np and strerrordesc_np give constant strings: no locale,
// no allocation.
#include "os/errors.hpp"

#include <cerrno>
#include <cstring>

#include "os/valgrind.hpp"

namespace sluice::os {
namespace {

// The meaning of the errno; for limits that the operator can raise, the likely limit.
const char* meaning_of(int error) noexcept {
  if (error == ENOMEM)
    return "out of memory, of address space (ulimit -v), or of mappings (sysctl vm.max_map_count)";
  if (error == EMFILE) return "too many open files in this process (ulimit -n)";
  // valgrind refuses calls that it does not know as if the kernel did.
  if (under_valgrind() && (error == EINVAL || error == ENOSYS))
    return "the program runs under valgrind, which does not allow this; run it without";
  if (error == EPERM || error == ENOSYS)
    return "refused; a sandbox may do that (a container's seccomp profile: allow the call there)";
  const char* text = strerrordesc_np(error);
  return text != nullptr ? text : "no description";
}

}  // namespace

const char* errno_name(int error) noexcept {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "unknown errno";
}

ErrorCode code_of(int error) noexcept {
  switch (error) {
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
      return ErrorCode::out_of_host_memory;
    default:
      return ErrorCode::system;
  }
}

tl::unexpected<Error> call_failed(int error, const char* what) noexcept {
  return fail(code_of(error), "%s: %s, %s", what, errno_name(error), meaning_of(error));
}

tl::unexpected<Error> call_failed(int error, const char* what, AddressSpan span) noexcept {
  return fail(code_of(error), "%s [%#zx, +%zu bytes): %s, %s", what,
              static_cast<std::size_t>(span.begin.value), span.size, errno_name(error),
              meaning_of(error));
}

tl::unexpected<Error> start_failed(int error, const char* what) noexcept {
  if (error != EAGAIN) return call_failed(error, what);
  return fail(ErrorCode::out_of_host_memory,
              "%s: EAGAIN, no more threads and processes (ulimit -u, or the cgroup's pids.max), or "
              "no address space for its stack (ulimit -v)",
              what);
}

}  // namespace sluice::os
