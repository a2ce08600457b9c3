// Checks of spans, shared by the fault sources. A few comparisons; no system call.
#include "fault/view_span.hpp"

#include <cerrno>

#include "os/errors.hpp"

namespace sluice::fault {

Result<void> check_span(const os::HostMemory& memory, const os::ProcessMark& process,
                        AddressSpan span) noexcept {
  if (process.inherited()) [[unlikely]]  // the source's descriptors still act on the parent
    return fail(ErrorCode::unsupported,
                "managed memory is not inherited by fork; see docs/host-side.md");
  const AddressSpan window = memory.window();
  const bool inside = span.size != 0 && span.begin >= window.begin && span.size <= window.size &&
                      span.begin - window.begin <= window.size - span.size;
  const std::size_t granule = inside ? memory.granule_at(span.begin) : page_size;
  if (!inside || span.begin.value % granule != 0 || span.size % granule != 0) [[unlikely]]
    return fail(ErrorCode::invalid_argument,
                "[%#zx, +%zu bytes) is no part of the view in units of %zu bytes",
                static_cast<std::size_t>(span.begin.value), span.size, granule);
  return {};
}

tl::unexpected<Error> view_error(int error, const char* what, AddressSpan span) noexcept {
  if (error == ENOMEM || error == ENOENT)
    return fail(
        ErrorCode::unknown_address,
        "%s [%#zx, +%zu bytes): %s, no longer mapped and watched; did the program unmap it?", what,
        static_cast<std::size_t>(span.begin.value), span.size, os::errno_name(error));
  return os::call_failed(error, what, span);
}

}  // namespace sluice::fault
