// Where files stay that several programs find by their path.
#include "own_folder.hpp"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "os/environment.hpp"
#include "report.hpp"

namespace sluice::tool {

std::filesystem::path own_folder() {
  const char* const cache = os::environment("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "sluice";
  const char* const home = os::environment("HOME");
  if (home != nullptr && *home == '/') return std::filesystem::path(home) / ".cache/sluice";
  return std::filesystem::temp_directory_path() / fmt::format("sluice-{}", ::geteuid());
}

void make_own(const std::filesystem::path& folder) {
  std::error_code ignored;  // the file's error tells more
  std::filesystem::create_directories(folder.parent_path(), ignored);
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    throw CannotRun(fmt::format("cannot make {}: {}", folder.string(), std::strerror(errno)));
  struct stat found{};
  if (::lstat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) ||
      found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    throw CannotRun(
        fmt::format("{} is not a folder that only this user can write; remove it, or name another "
                    "place by XDG_CACHE_HOME",
                    folder.string()));
}

}  // namespace sluice::tool
