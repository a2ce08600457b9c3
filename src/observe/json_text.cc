// What it does not do: write numbers or structure; the formats do.
#include "observe/json_text.hpp"

#include <algorithm>

namespace sluice::observe {
namespace {

// How many of the bytes at the front of the text are one character of UTF-8; 0: they are none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  const auto follows = [&](std::size_t at) { return (byte(at) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first < 0xF0) {
    const bool is_short = first == 0xE0 && byte(1) < 0xA0;  // it has a form of fewer bytes
    const bool is_half = first == 0xED && byte(1) >= 0xA0;  // of UTF-16
    return follows(1) && follows(2) && !is_short && !is_half ? 3 : 0;
  }
  if (first >= 0xF0 && first < 0xF5) {
    const bool is_short = first == 0xF0 && byte(1) < 0x90;
    const bool is_beyond = first == 0xF4 && byte(1) >= 0x90;
    return follows(1) && follows(2) && follows(3) && !is_short && !is_beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string in_json(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const std::size_t bytes = character(name);
    if (bytes == 0) text += "\\ufffd";
    if (name.front() == '"' || name.front() == '\\') text += '\\';
    text += name.substr(0, bytes);
    name.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return text;
}

}  // namespace sluice::observe
