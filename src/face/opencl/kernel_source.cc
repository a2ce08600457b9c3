// A conservative reader of OpenCL C.
//
// Over buffers a pointer in memory means nothing to a kernel. Programs set the indirect flags for
// every kernel (chipStar does), also for those that have nothing to follow, and set none for a
// kernel that follows pointers inside its own arguments, as OpenCL allows. The text distinguishes
// them: a kernel that is not plainly harmless is unknown, and one that declares a global pointer to
// a type with pointers in it reads pointers from memory. Costs one pass over the source, once for
// each kernel.
#include "kernel_source.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include "source_text.hpp"

namespace sluice::opencl {
namespace {

bool is_one_of(std::string_view token, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), token) != words.end();
}

bool is_qualifier(std::string_view token) {
  return is_one_of(
      token, {"const", "restrict", "volatile", "__restrict", "__global", "global", "__constant",
              "constant", "__private", "private", "__generic", "generic", "__local", "local"});
}

bool is_device_memory(std::string_view token) {
  return is_one_of(token, {"global", "__global", "constant", "__constant"});
}

// The token behind qualifiers; a bracket if the text ends.
std::string_view behind_qualifiers(const Tokens& tokens, std::size_t at) {
  while (at < tokens.size() && is_qualifier(tokens[at])) ++at;
  return at < tokens.size() ? tokens[at] : ")";
}

// A star that a closing bracket, a comma or another star follows: a cast, a pointer to a pointer,
// an unnamed parameter.
bool makes_pointer_type(const Tokens& tokens, std::size_t star) {
  return is_one_of(behind_qualifiers(tokens, star + 1), {")", "*", "]", ","});
}

// True if a type's text has a pointer in it. A star in square brackets is arithmetic.
bool has_pointer(const Declaration& type, const std::set<std::string_view>& bearing) {
  int squares = 0;
  for (const std::string_view token : type.tokens) {
    if (token == "[") ++squares;
    if (token == "]") --squares;
    if ((squares == 0 && (token == "*" || token == "^")) || bearing.contains(token) ||
        is_one_of(token, {"intptr_t", "uintptr_t"}))
      return true;
  }
  return false;
}

bool is_type(const Declaration& declaration) {
  return declaration.kind == Declaration::Kind::other &&
         is_one_of(declaration.tokens.front(), {"typedef", "struct", "union"});
}

// Its tag, and its last name: the type that a typedef renames has a name of its own.
std::vector<std::string_view> declared_types(const Declaration& type) {
  std::vector<std::string_view> names = names_of(type);
  if (names.size() > 1) names.erase(names.begin(), std::prev(names.end()));
  const auto body = std::find(type.tokens.begin(), type.tokens.end(), "{");
  if (body != type.tokens.end() && is_word(*std::prev(body))) names.push_back(*std::prev(body));
  return names;
}

// The names of types with pointers in them, in themselves or in others.
std::set<std::string_view> bearing_types(const std::vector<const Declaration*>& reached) {
  std::set<std::string_view> bearing;
  for (std::size_t before = ~std::size_t{0}; before != bearing.size();) {
    before = bearing.size();
    for (const Declaration* declaration : reached)
      if (is_type(*declaration) && has_pointer(*declaration, bearing))
        for (const std::string_view name : declared_types(*declaration)) bearing.insert(name);
  }
  return bearing;
}

// A pointer to device memory in which there are pointers: `global Node*`, `global int* global*`.
bool declares_pointers_in_memory(const Tokens& tokens, const std::set<std::string_view>& bearing) {
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    if (!is_device_memory(tokens[at])) continue;
    std::size_t next = at + 1;
    while (next < tokens.size() &&
           (is_qualifier(tokens[next]) || is_one_of(tokens[next], {"struct", "union"})))
      ++next;
    const bool is_bearing = next < tokens.size() && bearing.contains(tokens[next]);
    if (is_bearing && behind_qualifiers(tokens, next + 1) == "*") return true;
    std::size_t before = at;
    while (before > 0 && is_qualifier(tokens[before - 1])) --before;
    if (before > 0 && tokens[before - 1] == "*" && behind_qualifiers(tokens, at + 1) == "*")
      return true;
  }
  return false;
}

// A type that is declared inside of something else.
bool declares_type(const Tokens& tokens, std::size_t at) {
  if (tokens[at] == "typedef") return true;
  if (!is_one_of(tokens[at], {"struct", "union"})) return false;
  const auto has_body = [&](std::size_t next) {
    return next < tokens.size() && tokens[next] == "{";
  };
  return has_body(at + 1) || has_body(at + 2);
}

bool is_suspicious(const Declaration& declaration) {
  const Tokens& tokens = declaration.tokens;
  // Types are looked at as a whole; a variable that is a pointer lies in memory.
  if (is_type(declaration)) return false;
  if (declaration.kind == Declaration::Kind::other && has_pointer(declaration, {})) return true;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    if (is_one_of(tokens[at], {"intptr_t", "uintptr_t", "as_ulong", "as_long", "auto", "typeof",
                               "__typeof__", "asm", "__asm__", "pipe"}))
      return true;
    if (declares_type(tokens, at)) return true;
    if (tokens[at] == "*" && makes_pointer_type(tokens, at)) return true;
    if (declaration.kind == Declaration::Kind::macro && tokens[at] == "#") return true;
  }
  return false;
}

}  // namespace

Pointers pointers_of_source(std::string_view source, std::string_view options,
                            std::string_view kernel) {
  const SourceText text(source);
  if (text.all().empty()) return Pointers::unknown;
  const std::vector<const Declaration*> reached = text.reached_from(kernel);
  const std::set<std::string_view> bearing = bearing_types(reached);
  for (const Declaration* declaration : reached)
    if (declares_pointers_in_memory(declaration->tokens, bearing)) return Pointers::in_memory;
  // A macro of the command line may stand for anything.
  const bool may_be_more = !text.is_understood() || options.find('*') != std::string_view::npos;
  const bool is_plain = std::none_of(reached.begin(), reached.end(),
                                     [](const Declaration* one) { return is_suspicious(*one); });
  return !may_be_more && is_plain && bearing.empty() ? Pointers::from_arguments : Pointers::unknown;
}

}  // namespace sluice::opencl
