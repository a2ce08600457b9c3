// Finds processes in /proc. See stress/chaos/processes.hpp.

#include "stress/chaos/processes.hpp"

#include <dirent.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>

namespace sluice::stress {
namespace {

// A process may end before its file is read. This way that is the end of the text; an iterator over
// the file would throw.
std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

// One that ended and was not collected has no environment any more.
bool is_marked(const std::string& folder, const std::string& entry) {
  const std::string environment = '\0' + content(folder + "/environ");
  return environment.find('\0' + entry + '\0') != std::string::npos;
}

}  // namespace

std::vector<Process> processes_of_round(const std::string& mark) {
  const std::string entry = std::string(mark_variable) + "=" + mark;
  std::vector<Process> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
  while (const dirent* item = folder ? readdir(folder.get()) : nullptr) {
    Process process;
    process.id = static_cast<pid_t>(std::atoi(item->d_name));
    const std::string path = std::string("/proc/") + item->d_name;
    if (process.id <= 0 || !is_marked(path, entry)) continue;
    // "4711 (name) S ..."
    const std::string stat = content(path + "/stat");
    const std::size_t open = stat.find('(');
    const std::size_t close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close + 2 >= stat.size())
      continue;
    process.name = stat.substr(open + 1, close - open - 1);
    process.state = stat[close + 2];
    if (process.state != 'Z' && process.state != 'X') found.push_back(std::move(process));
  }
  return found;
}

std::vector<pid_t> devices_of_round(const std::string& mark) {
  std::vector<pid_t> devices;
  for (const Process& process : processes_of_round(mark)) {
    if (process.name.starts_with("sluice-soft-dev")) devices.push_back(process.id);
  }
  return devices;
}

}  // namespace sluice::stress
