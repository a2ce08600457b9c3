// The verb `sluice kfd explain PID`.
#pragma once

#include "exit.hpp"

namespace sluice::tool::kfd_contract {

// 1: a buffer leaks, or would if it were released now. CannotRun: there is nothing to read.
[[nodiscard]] Exit explain(int process, bool json);

}  // namespace sluice::tool::kfd_contract
