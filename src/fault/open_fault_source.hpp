// Opens the best fault source that the machine offers.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "fault/fault_source.hpp"
#include "os/host_memory.hpp"

namespace sluice::fault {

struct FaultSourceOptions {
  Grade best = Grade::full;  // never a better one than this
  // At least 2: a handler that waits for a copy must not hold up the next fault. 0: a quarter of
  // the CPUs, 2 to 4.
  int handler_threads = 0;
};

// `memory` and `resolver` outlive the source. Without userfaultfd, or at Grade::signal, it is a
// SignalSource. At Grade::none (or on a processor that SignalSource does not know) its watch()
// answers `unsupported` with the reason, and ranges that stay in host memory work without it.
// Errors: invalid_argument (handler_threads), out_of_host_memory (descriptors, threads).
[[nodiscard]] Result<std::unique_ptr<FaultSource>> open_fault_source(
    const FaultSourceOptions& options, os::HostMemory& memory, Resolver& resolver);

}  // namespace sluice::fault
