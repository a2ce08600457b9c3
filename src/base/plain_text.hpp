// Plain text: UTF-8 without characters that change how the text around them is shown.
//
// Messages quote what programs supply: names of ranges and kernels, paths, options. A terminal
// obeys control characters (ISO/IEC 6429) and shows text in another order after a mark of direction
// (Unicode Standard Annex 9), and a reader of JSON refuses bytes that are no UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

// The number of bytes before the first that is not plain text; the size if all is. Neither
// allocates nor locks.
[[nodiscard]] std::size_t plain_prefix(std::string_view text) noexcept;

// Puts a question mark in the place of each byte that is not plain text.
void make_plain(char* text, std::size_t size) noexcept;

}  // namespace sluice
