// Reads the options of a device.
//
// It runs once for each device of a space that opens. What it does not do: quote. No value needs a
// comma; a fault plan separates its rules by semicolons.
#include "device/option_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <set>

namespace sluice::device {
namespace {

// The number at the beginning of a text, which is shortened by it.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// `number` times `factor`, which is not 0; nothing if that is too large for the type.
std::optional<std::uint64_t> times(std::uint64_t number, std::uint64_t factor) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(number, factor, &product) ? std::nullopt : std::optional(product);
}

std::optional<std::uint64_t> size_of(std::string_view text) {
  const auto number = take_number(text);
  if (!number || text.empty()) return number;
  constexpr std::string_view suffixes = "KMGT";
  const std::size_t power = suffixes.find(text.front());
  if (text.size() != 1 || power == std::string_view::npos) return std::nullopt;
  return times(*number, std::uint64_t{1} << (10 * (power + 1)));
}

std::optional<std::uint64_t> milliseconds_of(std::string_view text) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  if (text == "ms") return number;
  return text == "s" ? times(*number, 1000) : std::nullopt;
}

tl::unexpected<Error> refused(std::size_t index, const std::string& why) {
  return fail(ErrorCode::invalid_argument, "devices[%zu]: %s", index, why.c_str());
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t most = 48;
  std::string shown = "'";
  for (const char each : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(each);
    std::array<char, 8> hexadecimal;
    std::snprintf(hexadecimal.data(), hexadecimal.size(), "\\x%02x", unsigned{byte});
    shown += byte < 0x20 || byte == 0x7f ? std::string(hexadecimal.data()) : std::string(1, each);
  }
  return shown + (text.size() > most ? "...'" : "'");
}

Result<void> read_options(std::size_t index, const DeviceRequest& request,
                          std::span<const OptionKey> keys) {
  const std::string known = list_of(keys, &OptionKey::key);
  std::set<std::string_view> given;
  std::string_view rest = request.options;
  for (bool more = !rest.empty(); more;) {
    const std::size_t comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    more = comma != std::string_view::npos;
    rest.remove_prefix(more ? comma + 1 : rest.size());
    const std::size_t equals = option.find('=');
    if (equals == std::string_view::npos)
      return refused(index, in_quotes(option) + " is no key=value; the keys of " +
                                request.back_end + " are: " + known);
    const auto found = std::ranges::find(keys, option.substr(0, equals), &OptionKey::key);
    if (found == keys.end())
      return refused(index, in_quotes(option) + " has no key of " + request.back_end +
                                "; its keys are: " + known);
    const std::string key(found->key);
    if (!given.insert(found->key).second) return refused(index, key + " is given twice");
    const std::string_view value = option.substr(equals + 1);
    if (const auto expected = found->take(value))
      return refused(index, key + " is " + in_quotes(value) + "; it must be " + *expected);
  }
  return {};
}

OptionKey size_option(std::string_view key, std::size_t& to, std::size_t unit, std::size_t least,
                      std::size_t most) {
  return {key, [&to, unit, least, most](std::string_view value) -> std::optional<std::string> {
            const auto size = size_of(value);
            if (!size || *size < least || *size > most || *size % unit != 0)
              return "a number of bytes from " + std::to_string(least) + " to " +
                     std::to_string(most) + ", a multiple of " + std::to_string(unit) +
                     "; K, M, G and T may follow it";
            to = *size;
            return std::nullopt;
          }};
}

OptionKey number_option(std::string_view key, int& to, int least, int most) {
  return {key, [&to, least, most](std::string_view value) -> std::optional<std::string> {
            const auto number = take_number(value);
            if (!number || !value.empty() || *number < static_cast<std::uint64_t>(least) ||
                *number > static_cast<std::uint64_t>(most))
              return "a number from " + std::to_string(least) + " to " + std::to_string(most);
            to = static_cast<int>(*number);
            return std::nullopt;
          }};
}

OptionKey time_option(std::string_view key, std::chrono::milliseconds& to,
                      std::chrono::milliseconds least) {
  return {key, [&to, least](std::string_view value) -> std::optional<std::string> {
            const auto time = milliseconds_of(value);
            if (!time || *time < static_cast<std::uint64_t>(least.count()) ||
                *time > static_cast<std::uint64_t>(std::chrono::milliseconds::max().count()))
              return "a time with its unit, as 500ms or 10s, from " +
                     std::to_string(least.count()) + "ms to " +
                     std::to_string(std::chrono::milliseconds::max().count()) + "ms";
            to = std::chrono::milliseconds(*time);
            return std::nullopt;
          }};
}

OptionKey flag_option(std::string_view key, bool& to) {
  return {key, [&to](std::string_view value) -> std::optional<std::string> {
            if (value != "yes" && value != "no") return "yes or no";
            to = value == "yes";
            return std::nullopt;
          }};
}

OptionKey text_option(std::string_view key, std::string& to) {
  return {key, [&to](std::string_view value) -> std::optional<std::string> {
            to = value;
            return std::nullopt;
          }};
}

}  // namespace sluice::device
