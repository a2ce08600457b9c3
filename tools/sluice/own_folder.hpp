// The folder where the tool keeps what programs load that it starts.
#pragma once

#include <filesystem>

namespace sluice::tool {

// In XDG_CACHE_HOME or the user's home.
[[nodiscard]] std::filesystem::path own_folder();

// Makes a folder in which no other user can put a library: its content is loaded into the program.
// One that another user made before, in /tmp for example, is refused.
void make_own(const std::filesystem::path& folder);

}  // namespace sluice::tool
