// The device processes of this program, for tests that kill them.
#pragma once

#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

namespace sluice {

// From the descriptors that the program holds on them; one may have ended since. While a device
// starts there is one on the program itself, too.
[[nodiscard]] inline std::vector<pid_t> device_processes() {
  std::vector<pid_t> found;
  DIR* const directory = ::opendir("/proc/self/fdinfo");
  if (directory == nullptr) return found;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string path = std::string("/proc/self/fdinfo/") + entry->d_name;
    std::FILE* const file = std::fopen(path.c_str(), "r");
    if (file == nullptr) continue;
    char line[256];
    int pid = 0;
    while (std::fgets(line, sizeof line, file) != nullptr)
      if (std::sscanf(line, "Pid: %d", &pid) == 1 && pid > 0 && pid != ::getpid())
        found.push_back(pid);
    std::fclose(file);
  }
  ::closedir(directory);
  return found;
}

}  // namespace sluice
