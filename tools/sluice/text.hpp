// Text: lays sentences out for the reader's terminal, or for 80 columns if there is none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::tool {

// The columns of the terminal on stdout; 80 if it is no terminal, or one that does not report them.
// At least 40.
[[nodiscard]] std::size_t terminal_width();

// Breaks each line of `text` between words, or after a comma inside a word that is longer than a
// line. The first line begins in column `column`, and every further one is indented by `indent`.
// There is no newline at the end.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t column, std::size_t indent,
                                  std::size_t width = terminal_width());

// A line of a list: two blanks, the name, and from column `indent` on its meaning. A name that is
// too long gets a line of its own.
[[nodiscard]] std::string entry(std::string_view name, std::string_view meaning, std::size_t indent,
                                std::size_t width = terminal_width());

}  // namespace sluice::tool
