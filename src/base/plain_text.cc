// Finds and replaces what is no plain text. Cost: about a nanosecond a byte, for messages and names
// only. What it does not do: know which characters are assigned, or have a glyph.
#include "base/plain_text.hpp"

namespace sluice {
namespace {

struct Character {
  char32_t code;
  std::size_t size;  // bytes; 0: these are no UTF-8
};

// The first character of text that is not empty (RFC 3629).
Character first_of(std::string_view text) noexcept {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {0, 0};
  char32_t code = lead & (0x7FU >> size);
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0U) != 0x80) return {0, 0};
    code = code << 6 | (byte(at) & 0x3FU);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  return code < least[size] || code > 0x10FFFF || is_surrogate ? Character{0, 0}
                                                               : Character{code, size};
}

struct Characters {
  char32_t first, last;
};

// Controls, and characters of format that are not seen (Unicode's categories Cc, Cf, Zl and Zp).
// Joiners, U+200C and U+200D, belong to the spelling of some languages and are not among them.
constexpr Characters changing[] = {
    {0x00, 0x1F},     {0x7F, 0x9F},     {0x61C, 0x61C},     {0x180E, 0x180E},
    {0x200B, 0x200B}, {0x200E, 0x200F}, {0x2028, 0x202E},   {0x2060, 0x206F},
    {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F},
};

bool is_plain(Character character) noexcept {
  if (character.size == 0) return false;
  for (const Characters& each : changing)
    if (character.code >= each.first && character.code <= each.last) return false;
  return true;
}

}  // namespace

std::size_t plain_prefix(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const Character character = first_of(text.substr(at));
    if (!is_plain(character)) return at;
    at += character.size;
  }
  return at;
}

void make_plain(char* text, std::size_t size) noexcept {
  // The rest of a character whose first byte is replaced is none, and replaced as well.
  for (std::size_t at = 0; (at += plain_prefix({text + at, size - at})) < size;) text[at] = '?';
}

}  // namespace sluice
