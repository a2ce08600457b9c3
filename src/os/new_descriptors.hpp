// NewDescriptors: surrounds the calls that make descriptors of this library.
//
// Linux gives the lowest free number, so where the program has closed 0, 1 or 2, a new descriptor
// would have that number until it is moved (owned_fd.hpp), and what another thread prints meanwhile
// would go into it. So these numbers are occupied for the time. A fork waits, too, so that the
// child knows what to close.
#pragma once

#include "os/fork_guard.hpp"
#include "os/standard_numbers_in_handler.hpp"

namespace sluice::os {

// Thread-safe; for microseconds, as a fork holds up the program. Keeps errno.
class NewDescriptors {
 public:
  NewDescriptors() noexcept { in_handler::occupy_standard_numbers(); }
  ~NewDescriptors() { in_handler::vacate_standard_numbers(); }
  NewDescriptors(const NewDescriptors&) = delete;
  NewDescriptors& operator=(const NewDescriptors&) = delete;

 private:
  ForkPause no_fork_;
};

}  // namespace sluice::os
