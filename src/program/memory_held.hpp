// The memory that the files of all spaces of this process hold, as Linux counts it.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <string>

namespace sluice::program {

[[nodiscard]] inline std::size_t bytes_held() {
  std::size_t held = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string name = std::filesystem::read_symlink(entry.path(), gone).string();
    if (name.find("not in core dumps") == std::string::npos) continue;
    struct stat facts = {};
    if (::stat(entry.path().c_str(), &facts) == 0)
      held += static_cast<std::size_t>(facts.st_blocks) * 512;
  }
  return held;
}

}  // namespace sluice::program
