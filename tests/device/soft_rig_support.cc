#include "device/soft_rig.hpp"

#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace sluice::device::testing {

Backend soft_backend(std::function<void(soft::SoftOptions&)> adjust) {
  Backend backend;
  backend.name = "Soft";
  backend.open = [adjust = std::move(adjust)](int number, const HostMemory& host, EventSink& sink) {
    soft::SoftOptions options;
    options.number = number;
    options.memory_size = soft_memory_size;
    if (adjust) adjust(options);
    return soft::open(options, host, sink);
  };
  return backend;
}

Backend recoverable_backend() {
  Backend backend =
      soft_backend([](soft::SoftOptions& options) { options.recoverable_faults = true; });
  backend.name = "SoftRecoverable";
  return backend;
}

std::vector<pid_t> device_processes() {
  std::vector<pid_t> processes;
  DIR* folder = opendir("/proc/self/fdinfo");
  while (const dirent* entry = readdir(folder)) {
    std::ifstream info(std::string("/proc/self/fdinfo/") + entry->d_name);
    for (std::string key; info >> key;) {
      pid_t process = 0;
      if (key == "Pid:" && info >> process && process > 0 && process != getpid())
        processes.push_back(process);
    }
  }
  closedir(folder);
  return processes;
}

pid_t device_process() {
  const auto processes = device_processes();
  if (processes.size() != 1)
    throw std::runtime_error("expected one device process, found " +
                             std::to_string(processes.size()));
  return processes.front();
}

char state_of(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(stat, line);
  const std::size_t end_of_name = line.rfind(')');
  return end_of_name != std::string::npos && end_of_name + 2 < line.size() ? line[end_of_name + 2]
                                                                           : 'X';
}

bool runs(pid_t process) { return state_of(process) != 'Z' && state_of(process) != 'X'; }

bool eventually(const std::function<bool()>& condition) {
  const auto end = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace sluice::device::testing
