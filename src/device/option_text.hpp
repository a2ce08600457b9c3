// The options of one device as programs write them: "key=value,key=value".
//
// A back end lists its keys, each with a function that takes the value; all messages are made here,
// so they name the device, the key, the value and the keys that exist.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sluice/options.hpp"

namespace sluice::device {

struct OptionKey {
  std::string_view key;
  // Takes a value. If it is none, the answer says what one is: "a multiple of 2097152".
  std::function<std::optional<std::string>(std::string_view value)> take;
};

// A program's text as messages quote it: in quotes, cut where it is long, and without control
// characters.
[[nodiscard]] std::string in_quotes(std::string_view text);

// "a, b, c": one member of each item.
template <typename Items, typename Member>
[[nodiscard]] std::string list_of(const Items& items, Member member) {
  std::string names;
  for (const auto& each : items) {
    if (!names.empty()) names += ", ";
    names += std::invoke(member, each);
  }
  return names;
}

// Passes each value to its key. `index`: of the device in SpaceOptions::devices. invalid_argument:
// text that is no key=value, a key that does not exist or comes twice, or a value that is none.
[[nodiscard]] Result<void> read_options(std::size_t index, const DeviceRequest& request,
                                        std::span<const OptionKey> keys);

// Keys for the usual kinds of value; `to` outlives the key.
// A number of bytes from `least` to `most` that is a multiple of `unit`, perhaps with one of the
// suffixes K, M, G and T (powers of 1024).
[[nodiscard]] OptionKey size_option(std::string_view key, std::size_t& to, std::size_t unit,
                                    std::size_t least, std::size_t most);
// A whole number from `least` to `most`.
[[nodiscard]] OptionKey number_option(std::string_view key, int& to, int least, int most);
// A time of at least `least`, with its unit: "500ms" or "10s".
[[nodiscard]] OptionKey time_option(std::string_view key, std::chrono::milliseconds& to,
                                    std::chrono::milliseconds least);
// yes or no.
[[nodiscard]] OptionKey flag_option(std::string_view key, bool& to);
// Text without a comma.
[[nodiscard]] OptionKey text_option(std::string_view key, std::string& to);

}  // namespace sluice::device
