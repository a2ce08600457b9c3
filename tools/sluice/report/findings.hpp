// Findings: what a program could do better, and what to write.
#pragma once

#include <vector>

#include "report/account.hpp"

namespace sluice::tool::report {

// The worst first, at most so many of each kind:
// {"kind", "range", "address", "size", "bytes", "waited_us", "host", "launch", "text", "advice"}.
constexpr std::size_t most_findings = 10;
[[nodiscard]] Json findings(const std::vector<RangeAccount>& ranges);

}  // namespace sluice::tool::report
