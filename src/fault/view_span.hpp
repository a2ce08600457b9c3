// Checks of spans that all fault sources share, and the error for views that the program itself has
// unmapped.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/fork_guard.hpp"
#include "os/host_memory.hpp"

namespace sluice::fault {

// invalid_argument unless the span is a part of the view in units of its granule; unsupported in a
// forked child.
[[nodiscard]] Result<void> check_span(const os::HostMemory& memory, const os::ProcessMark& process,
                                      AddressSpan span) noexcept;

// The error of a call about a view: a missing piece was unmapped by the program itself.
[[nodiscard]] tl::unexpected<Error> view_error(int error, const char* what,
                                               AddressSpan span) noexcept;

}  // namespace sluice::fault
