// Output: handles failed writes to stdout and stderr of the tool. A full disk under stdout is a
// failure of the verb. A reader that closed the pipe is not: the rest is not needed. If stderr is
// full, nothing can be reported, and nothing may break.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <utility>

#include "exit.hpp"

namespace sluice::tool {

// Writes to stderr; text that cannot be written is dropped. From any thread.
template <typename... Arguments>
void complain(fmt::format_string<Arguments...> format, Arguments&&... arguments) noexcept {
  try {
    const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
  } catch (...) {  // no memory for the text
  }
}

// Flushes stdout and returns the exit status: `exit`, or could_not_run instead of `good` if not all
// of the output was written, which is reported on stderr, or if a trace that the environment asks
// for could not be written.
[[nodiscard]] Exit finish_output(Exit exit) noexcept;

}  // namespace sluice::tool
