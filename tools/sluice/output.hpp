// Output: stdout and stderr of the tool, when they cannot take what is written. A full disk under
// stdout is a failure of the verb. A reader that went away is none: nobody misses the rest. Nothing
// can be said where stderr is full, and nothing may break there.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <utility>

#include "exit.hpp"

namespace sluice::tool {

// Writes to stderr; what cannot be written is dropped. From any thread.
template <typename... Arguments>
void complain(fmt::format_string<Arguments...> format, Arguments&&... arguments) noexcept {
  try {
    const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
  } catch (...) {  // no memory for the words
  }
}

// Writes out what stdout still holds. What the process ends with: `exit`, or instead of `good`
// could_not_run, when not all of the output arrived, which is told on stderr, or when a trace that
// the environment asks for could not be written.
[[nodiscard]] Exit finish_output(Exit exit) noexcept;

}  // namespace sluice::tool
