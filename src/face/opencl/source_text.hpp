// The text of an OpenCL C program, cut into its declarations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::opencl {

using Tokens = std::vector<std::string_view>;

// One function, type, variable or macro of a program.
struct Declaration {
  enum class Kind : std::uint8_t { function, other, macro } kind = Kind::other;
  Tokens tokens;
};

class SourceText {
 public:
  explicit SourceText(std::string_view source);
  SourceText(const SourceText&) = delete;
  SourceText& operator=(const SourceText&) = delete;

  // False: the text includes others, or is not what this reader understands.
  [[nodiscard]] bool is_understood() const noexcept { return understood_; }
  [[nodiscard]] const std::vector<Declaration>& all() const noexcept { return all_; }
  // The function of that name and all that it names, directly or by others; everything if there is
  // no such function.
  [[nodiscard]] std::vector<const Declaration*> reached_from(std::string_view function) const;

 private:
  void read_directive(std::string_view line);
  void cut(const Tokens& tokens);

  std::string text_;  // without comments, literals and directives; the tokens point into it
  std::vector<std::string> macros_;
  std::vector<Declaration> all_;
  bool understood_ = true;
};

[[nodiscard]] bool is_word(std::string_view token) noexcept;
// The words of a declaration that others may use it by; there may be too many, never too few.
[[nodiscard]] std::vector<std::string_view> names_of(const Declaration& declaration);

}  // namespace sluice::opencl
