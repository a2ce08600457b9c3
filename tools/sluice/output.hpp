// Output: handles failed writes to stdout and stderr of the tool. A full disk under stdout is a
// failure of the verb. A reader that closed the pipe is not: the rest is not needed.
#pragma once

#include "exit.hpp"

namespace sluice::tool {

// Flushes stdout and returns the exit status: `exit`, or could_not_run instead of `good` if not all
// of the output was written, which is reported on stderr, or if a trace that the environment asks
// for could not be written.
[[nodiscard]] Exit finish_output(Exit exit) noexcept;

}  // namespace sluice::tool
