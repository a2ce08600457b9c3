// Reads the values of options. See option_values.hpp.

#include "option_values.hpp"

#include <fmt/core.h>

#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>

#include "report.hpp"

namespace sluice::tool {
namespace {

struct Unit {
  std::string_view letter;
  int shift;
};
constexpr std::array units{Unit{"", 0}, Unit{"k", 10}, Unit{"m", 20}, Unit{"g", 30}, Unit{"t", 40}};

std::string lower(std::string_view text) {
  std::string result;
  for (const char c : text)
    result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// No value if it is not a size; the largest size_t if it is larger than that.
std::optional<std::size_t> bytes_from(const std::string& text) {
  double number = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || number < 0) return std::nullopt;
  std::string unit = lower(std::string_view(rest, text.data() + text.size()));
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size()
                                                                 : unit.find_first_not_of(' '));
  for (const Unit& known : units) {
    const std::string letter(known.letter);
    if (unit != letter && unit != letter + "b" && (letter.empty() || unit != letter + "ib"))
      continue;
    const double bytes = number * static_cast<double>(std::size_t{1} << known.shift);
    constexpr double beyond = 0x1p64;
    return bytes >= beyond ? SIZE_MAX : static_cast<std::size_t>(bytes);
  }
  return std::nullopt;
}

}  // namespace

CLI::Option* add_grade(CLI::App& verb, const std::string& names, Grade& value,
                       const std::string& description) {
  const auto set = [&value](const std::string& name) {
    value = name == "full" ? Grade::full : name == "user" ? Grade::user : Grade::signal;
  };
  return verb.add_option_function<std::string>(names, set, description)
      ->check(CLI::IsMember({"full", "user", "signal"}));
}

CLI::Option* add_size(CLI::App& verb, const std::string& name, std::size_t& value,
                      std::size_t least, std::size_t most, const std::string& description) {
  const auto set = [=, &value](const std::string& text) {
    const std::optional<std::size_t> bytes = bytes_from(text);
    if (!bytes) {
      throw CLI::ValidationError(
          name, fmt::format("'{}' is no size; write 4096, 64KiB or 1.5GiB, for example", text));
    }
    if (*bytes < least || *bytes > most) {
      throw CLI::ValidationError(name, fmt::format("{} is not from {} to {}", text,
                                                   bytes_in_words(least), bytes_in_words(most)));
    }
    value = *bytes;
  };
  return verb.add_option_function<std::string>(name, set, description)->type_name("SIZE");
}

}  // namespace sluice::tool
