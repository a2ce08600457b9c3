// Text of a program inside a literal of JSON.
#pragma once

#include <string>
#include <string_view>

namespace sluice::observe {

// One line of any bytes: those that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string in_json(std::string_view name);

}  // namespace sluice::observe
