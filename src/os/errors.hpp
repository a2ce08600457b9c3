// Maps errno to Error: which of our codes a failed Linux call becomes.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

namespace sluice::os {

// Exhaustion of memory, address space, mappings or descriptors is out_of_host_memory; anything else
// is `system`.
[[nodiscard]] ErrorCode code_of(int error) noexcept;

// "ENOMEM"; never null.
[[nodiscard]] const char* errno_name(int error) noexcept;

// "<what>: <errno's name and text>". Allocates nothing; may be used on a fault's path.
[[nodiscard]] tl::unexpected<Error> call_failed(int error, const char* what) noexcept;
// The same for a call about managed addresses: "<what> [0x.., +bytes): <errno's name and text>".
[[nodiscard]] tl::unexpected<Error> call_failed(int error, const char* what,
                                                AddressSpan span) noexcept;

// The same for a call that starts a thread or a process, for which EAGAIN names a limit.
[[nodiscard]] tl::unexpected<Error> start_failed(int error, const char* what) noexcept;

}  // namespace sluice::os
