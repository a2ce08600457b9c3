// Text for people: numbers in words, and complaints on stderr. If stderr is full, nothing can be
// reported, and nothing may break.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

namespace sluice::program {

// "4 KiB", "1.5 MiB"; exact where that is short.
[[nodiscard]] std::string bytes_in_words(std::size_t bytes);

// Writes to stderr; text that cannot be written is dropped. From any thread.
template <typename... Arguments>
void complain(fmt::format_string<Arguments...> format, Arguments&&... arguments) noexcept {
  try {
    const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
  } catch (...) {  // no memory for the text
  }
}

}  // namespace sluice::program
