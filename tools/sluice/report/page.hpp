// The page of `sluice report`.
#pragma once

#include <string>

#include "report.hpp"

namespace sluice::tool::report {

// `document` is the one that --json prints.
[[nodiscard]] std::string page(const Json& document);

}  // namespace sluice::tool::report
