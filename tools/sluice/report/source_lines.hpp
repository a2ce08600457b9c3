// The lines of source behind places in programs and libraries.
#pragma once

#include <map>
#include <set>
#include <string>

namespace sluice::tool::report {

// For each "/path/of/file+0x1234 (function)", as traces tell places: "program.cc:21, in main" where
// addr2line (binutils) is there and the file has lines; the place itself where not.
[[nodiscard]] std::map<std::string, std::string> source_lines(const std::set<std::string>& places);

}  // namespace sluice::tool::report
