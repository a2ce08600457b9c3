// View: what `sluice top` shows of spaces, as JSON and as lines of text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report.hpp"
#include "top/space_finder.hpp"

namespace sluice::tool::top {

// A space now and, if there was a look before, then.
struct Change {
  Space now;
  std::optional<Space> before{};
};

// Pairs the spaces of two looks.
[[nodiscard]] std::vector<Change> changes(const std::vector<Space>& before,
                                          const std::vector<Space>& now);

// {"spaces": [...]}: sizes in bytes, times in seconds. "per_second" is null where there was no
// earlier look.
[[nodiscard]] Json json_of(const std::vector<Change>& spaces);

enum class Style : std::uint8_t { plain, title, dim, alarm };

struct Line {
  Style style = Style::plain;
  std::string text;
};

[[nodiscard]] std::vector<Line> lines_of(const std::vector<Change>& spaces);

}  // namespace sluice::tool::top
