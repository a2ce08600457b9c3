// A reader of OpenCL C that knows just enough to be on the safe side.
//
// Over buffers a pointer in memory means nothing to a kernel, so a kernel with indirect access must be refused; but programs set the
// indirect flags for every kernel (chipStar does), also for those that have nothing to follow. The text tells the two apart: what
// is not plainly harmless counts as indirect. Costs one pass over the source, once for each kernel.
#include "kernel_source.hpp"

#include <cctype>
#include <string>

namespace sluice::opencl {
namespace {

// Without comments and literals.
std::string bare(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::string_view rest = source.substr(i);
    if (rest.starts_with("//")) {
      i = source.find('\n', i);
      if (i == std::string_view::npos) break;
      text += '\n';
    } else if (rest.starts_with("/*")) {
      const std::size_t end = source.find("*/", i + 2);
      if (end == std::string_view::npos) break;
      i = end + 1;
      text += ' ';
    } else if (source[i] == '"' || source[i] == '\'') {
      const char quote = source[i];
      for (++i; i < source.size() && source[i] != quote; ++i)
        if (source[i] == '\\') ++i;
    } else {
      text += source[i];
    }
  }
  return text;
}

bool is_word(char c) noexcept {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool has_word(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    const bool begins = at == 0 || !is_word(text[at - 1]);
    const bool ends = at + word.size() == text.size() || !is_word(text[at + word.size()]);
    if (begins && ends) return true;
  }
  return false;
}

char next_solid(std::string_view text, std::size_t at) {
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
  return at < text.size() ? text[at] : ' ';
}

// A star that is followed by a closing parenthesis or another star, or that precedes a qualifier and then one: a cast, a pointer
// to a pointer, an unnamed parameter.
bool star_makes_pointer_type(std::string_view text, std::size_t star) {
  std::size_t at = star + 1;
  while (true) {
    while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
    const std::string_view rest = text.substr(at);
    std::size_t word = 0;
    for (const std::string_view qualifier :
         {"const", "restrict", "volatile", "__restrict", "__global", "global", "__private",
          "private", "__generic", "generic"})
      if (rest.starts_with(qualifier) &&
          !(rest.size() > qualifier.size() && is_word(rest[qualifier.size()])))
        word = qualifier.size();
    if (word == 0) break;
    at += word;
  }
  const char next = next_solid(text, at);
  return next == ')' || next == '*' || next == ']' || next == ',';
}

}  // namespace

bool pointers_come_from_arguments_only(std::string_view source) {
  const std::string text = bare(source);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return false;
  for (const std::string_view suspect :
       {"struct", "union", "typedef", "intptr_t", "uintptr_t", "as_ulong", "as_long", "include",
        "define", "auto", "typeof", "__typeof__", "asm", "pipe"})
    if (has_word(text, suspect)) return false;
  for (std::size_t star = text.find('*'); star != std::string::npos;
       star = text.find('*', star + 1))
    if (star_makes_pointer_type(text, star)) return false;
  return true;
}

}  // namespace sluice::opencl
