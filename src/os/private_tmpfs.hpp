// Makes files that have transparent huge pages without any setting of the machine.
//
// /sys/kernel/mm/transparent_hugepage/shmem_enabled governs memfds only. A tmpfs obeys its own
// mount option `huge` (Documentation/admin-guide/mm/transhuge.rst), and a new user namespace may
// mount one without privilege (user_namespaces(7)).
#pragma once

#include <cstddef>

#include "base/result.hpp"
#include "os/owned_fd.hpp"

namespace sluice::os {

// A sparse file of zeros on a tmpfs of its own, mounted nowhere, with huge=always: a page fault
// takes 2 MiB unless its mapping has MADV_NOHUGEPAGE, and fallocate(2) of an aligned block takes
// one huge page. The file has no name; /proc/self/maps shows the same as for a memfd called `name`.
// Unlike a memfd's, its size is not sealed. Neither the namespaces of the process nor its signals,
// children or limits change.
// Errors: unsupported, with the refused step, where the machine or a sandbox does not allow it or
// huge pages are switched off for the process (PR_SET_THP_DISABLE); out_of_host_memory.
[[nodiscard]] Result<OwnedFd> make_private_tmpfs_file(const char* name, std::size_t size);

}  // namespace sluice::os
