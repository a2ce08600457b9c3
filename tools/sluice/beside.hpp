// Files that are installed, and built, beside the tool.
#pragma once

#include <filesystem>
#include <string>

namespace sluice::tool {

// The tool itself, by an absolute path.
[[nodiscard]] std::filesystem::path this_program();

// lib<name>.so in ../lib or ../lib64 of the tool. CannotRun if it is not there.
[[nodiscard]] std::filesystem::path library_beside(const std::string& name);

}  // namespace sluice::tool
