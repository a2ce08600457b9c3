// The fixed parts of the page of `sluice report`.
#pragma once

#include <string_view>

namespace sluice::tool::report {

extern const std::string_view page_style;   // CSS
extern const std::string_view page_script;  // JavaScript

}  // namespace sluice::tool::report
