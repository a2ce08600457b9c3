// The files that a machine of software GPUs shows (docs/kfd.md), on disk.
#pragma once

#include <filesystem>
#include <string>

namespace sluice::tool {

// Writes the files of this machine below a folder, unless it has been done before, and returns the
// folder. CannotRun if the text describes no machine, or SLUICE_FAULT_PLAN has a rule that means
// nothing there.
[[nodiscard]] std::filesystem::path make_kfd_tree(const std::string& machine);

}  // namespace sluice::tool
