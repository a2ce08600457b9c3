// Cutting OpenCL C into declarations, by brackets and semicolons alone.
//
// A declaration is found by any word outside its brackets, so that too many declarations may be
// reached but never too few. Costs one pass over the source, and one over the reached text. What it
// does not do: expand macros (the text of a macro counts where its name stands), decide conditional
// text (all branches count), or read included files.
#include "source_text.hpp"

#include <algorithm>
#include <cctype>
#include <list>
#include <set>

namespace sluice::opencl {
namespace {

bool is_word_character(char c) noexcept {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Comments become blanks, literals a word that means nothing, continued lines one line.
std::string bare(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::string_view rest = source.substr(i);
    if (rest.starts_with("\\\n")) {
      ++i;
    } else if (rest.starts_with("//")) {
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
      text += " 0 ";
    } else {
      text += source[i];
    }
  }
  return text;
}

Tokens tokens_of(std::string_view text) {
  Tokens tokens;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    if (std::isspace(static_cast<unsigned char>(text[i])) != 0) {
      i = end;
      continue;
    }
    if (is_word_character(text[i]))
      while (end < text.size() && is_word_character(text[end])) ++end;
    tokens.push_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

bool opens(std::string_view token) noexcept { return token == "(" || token == "[" || token == "{"; }
bool closes(std::string_view token) noexcept {
  return token == ")" || token == "]" || token == "}";
}

// Words that stand in every program's declarations.
bool is_common(std::string_view word) {
  static const std::set<std::string_view> common = {
      "kernel",        "__kernel", "global",   "__global", "constant", "__constant", "local",
      "__local",       "void",     "const",    "volatile", "restrict", "private",    "__private",
      "struct",        "union",    "enum",     "typedef",  "static",   "inline",     "extern",
      "__attribute__", "signed",   "unsigned", "bool",     "size_t",   "char",       "short",
      "int",           "long",     "float",    "double",   "half",     "uchar",      "ushort",
      "uint",          "ulong",    "generic",  "__generic"};
  while (word.size() > 1 && std::isdigit(static_cast<unsigned char>(word.back())) != 0)
    word.remove_suffix(1);
  return common.contains(word) || std::isdigit(static_cast<unsigned char>(word.front())) != 0;
}

}  // namespace

bool is_word(std::string_view token) noexcept { return is_word_character(token.front()); }

std::vector<std::string_view> names_of(const Declaration& declaration) {
  if (declaration.kind == Declaration::Kind::macro) return {declaration.tokens.front()};
  std::vector<std::string_view> names;
  int depth = 0;
  for (const std::string_view token : declaration.tokens) {
    if (opens(token)) ++depth;
    if (closes(token)) --depth;
    if (depth == 0 && is_word(token) && !is_common(token)) names.push_back(token);
  }
  return names;
}

SourceText::SourceText(std::string_view source) {
  const std::string whole = bare(source);
  for (std::size_t begin = 0; begin < whole.size();) {
    const std::size_t end = std::min(whole.find('\n', begin), whole.size());
    const std::string_view line = std::string_view(whole).substr(begin, end - begin);
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] == '#')
      read_directive(line.substr(first + 1));
    else
      (text_ += line) += '\n';
    begin = end + 1;
  }
  for (const std::string& macro : macros_)
    all_.push_back({Declaration::Kind::macro, tokens_of(macro)});
  cut(tokens_of(text_));
}

void SourceText::read_directive(std::string_view line) {
  const Tokens tokens = tokens_of(line);
  if (tokens.empty()) return;
  const std::string_view name = tokens.front();
  if (name == "include" || name == "import") understood_ = false;
  if (name == "define" && tokens.size() > 1)
    macros_.emplace_back(tokens[1].data(), line.data() + line.size());
}

void SourceText::cut(const Tokens& tokens) {
  Declaration declaration;
  int depth = 0;
  for (const std::string_view token : tokens) {
    // A body right behind parameters makes a function.
    if (depth == 0 && token == "{" && !declaration.tokens.empty() &&
        declaration.tokens.back() == ")")
      declaration.kind = Declaration::Kind::function;
    if (opens(token)) ++depth;
    if (closes(token)) --depth;
    if (depth < 0) understood_ = false;
    declaration.tokens.push_back(token);
    const bool is_function = declaration.kind == Declaration::Kind::function;
    if (depth == 0 && (token == ";" || (token == "}" && is_function))) {
      all_.push_back(std::move(declaration));
      declaration = {};
    }
  }
  if (depth != 0) understood_ = false;
  if (!declaration.tokens.empty()) all_.push_back(std::move(declaration));
}

std::vector<const Declaration*> SourceText::reached_from(std::string_view function) const {
  std::vector<const Declaration*> reached;
  std::set<std::string_view> wanted = {function};
  std::list<std::string_view> next = {function};
  std::set<const Declaration*> seen;
  while (!next.empty()) {
    const std::string_view word = next.front();
    next.pop_front();
    for (const Declaration& declaration : all_) {
      if (seen.contains(&declaration)) continue;
      const std::vector<std::string_view> names = names_of(declaration);
      if (std::find(names.begin(), names.end(), word) == names.end()) continue;
      seen.insert(&declaration);
      reached.push_back(&declaration);
      for (const std::string_view token : declaration.tokens)
        if (is_word(token) && !is_common(token) && wanted.insert(token).second)
          next.push_back(token);
    }
  }
  const bool is_there = std::any_of(reached.begin(), reached.end(), [](const Declaration* one) {
    return one->kind == Declaration::Kind::function;
  });
  if (is_there) return reached;
  reached.clear();
  for (const Declaration& declaration : all_) reached.push_back(&declaration);
  return reached;
}

}  // namespace sluice::opencl
