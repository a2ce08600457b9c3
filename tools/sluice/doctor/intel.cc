// Finds Intel's driver libraries and GPUs, and the consequences for programs with SIGSEGV handlers.
// See doctor/intel.hpp.
//
// It reads files and loads no driver: drivers may do anything in a process, and the handler in
// question would be installed in the doctor itself. OpenCL's libraries are named in
// /etc/OpenCL/vendors, Level Zero's loader looks for its driver by name, and GPUs are in /sys.
// Intel's integrated GPUs are on PCI bus 0 and its discrete ones behind a bridge; shared memory
// moves on discrete ones only. Costs some 10 ms where a library is read for its version. Libraries
// in other folders (LD_LIBRARY_PATH, ZE_ENABLE_ALT_DRIVERS, OCL_ICD_VENDORS) are not seen.

#include "doctor/intel.hpp"

#include "os/environment.hpp"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "os/environment.hpp"

namespace sluice::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* library_folders[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib",
                                           "/usr/local/lib"};
constexpr const char* level_zero_names[] = {"libze_intel_gpu.so.1", "libze_intel_gpu_legacy1.so.1"};

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// The driver keeps its version as text, like 22.43.24595.
std::string version_in(const fs::path& library) {
  std::error_code failed;
  std::string bytes(fs::file_size(library, failed), '\0');
  std::ifstream stream(library, std::ios::binary);
  if (failed || !stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
    return "unknown";
  const auto is_digit = [&](std::size_t at) {
    return at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9';
  };
  for (std::size_t dot = bytes.find('.', 2); dot != std::string::npos;
       dot = bytes.find('.', dot + 1)) {
    if (!is_digit(dot - 2) || !is_digit(dot - 1) || !is_digit(dot + 1) || !is_digit(dot + 2))
      continue;
    if (dot + 3 >= bytes.size() || bytes[dot + 3] != '.') continue;
    if (is_digit(dot - 3)) continue;
    std::size_t end = dot + 4;
    while (is_digit(end)) ++end;
    if (end - (dot + 4) == 5) return bytes.substr(dot - 2, end - (dot - 2));
  }
  return "unknown";
}

void add_library(const char* interface, const fs::path& path, std::vector<IntelLibrary>& found) {
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  if (failed) return;
  for (const IntelLibrary& known : found)
    if (known.path == real.string()) return;
  found.push_back({interface, real.string(), version_in(real)});
}

std::vector<IntelLibrary> libraries() {
  std::vector<IntelLibrary> found;
  std::error_code failed;
  for (const fs::directory_entry& vendor : fs::directory_iterator("/etc/OpenCL/vendors", failed)) {
    const fs::path library = first_line(vendor.path());
    if (library.filename().string().rfind("libigdrcl", 0) != 0) continue;
    if (library.is_absolute()) {
      add_library("OpenCL", library, found);
      continue;
    }
    for (const char* folder : library_folders) add_library("OpenCL", folder / library, found);
  }
  for (const char* folder : library_folders)
    for (const char* name : level_zero_names)
      add_library("Level Zero", fs::path(folder) / name, found);
  return found;
}

std::vector<IntelGpu> gpus() {
  std::vector<IntelGpu> found;
  std::error_code failed;
  for (const fs::directory_entry& node : fs::directory_iterator("/sys/class/drm", failed)) {
    if (node.path().filename().string().rfind("renderD", 0) != 0) continue;
    const fs::path device = fs::canonical(node.path() / "device", failed);
    if (failed || first_line(device / "vendor") != "0x8086") continue;
    const std::string address = device.filename().string();  // 0000:03:00.0
    std::string id = first_line(device / "device");
    if (id.rfind("0x", 0) == 0) id = "8086:" + id.substr(2);
    found.push_back({address, id, address.size() > 7 && address.compare(5, 2, "00") != 0});
  }
  return found;
}

bool is_set(const char* name) {
  const char* const value = os::environment(name);
  return value != nullptr && *value != 0 && std::string(value) != "0";
}

}  // namespace

bool IntelDriver::bug_strikes() const {
  if (libraries.empty()) return false;
  if (captures) return true;
  for (const IntelGpu& gpu : gpus)
    if (gpu.is_discrete) return true;
  return false;
}

std::string IntelDriver::verdict() const {
  if (captures)
    return "its shared memory hands programs with SIGSEGV handlers the driver's faults "
           "(capture mode presents a discrete GPU, and kernels do not execute)";
  if (bug_strikes())
    return "its shared memory hands programs with SIGSEGV handlers the driver's faults: here is a "
           "discrete GPU";
  if (gpus.empty()) return "no Intel GPU is here, so nothing of its shared memory moves";
  return "an integrated GPU only: its shared memory does not move, and handlers do not matter";
}

std::string IntelDriver::remedy() const {
  return bug_strikes() ? "sluice run --guard -- PROGRAM"
                       : "make demo-intel    (shows it without a GPU)";
}

IntelDriver look_at_intel() {
  return {libraries(), gpus(), is_set("NEOReadDebugKeys") && is_set("SetCommandStreamReceiver")};
}

Json json_of(const IntelDriver& driver) {
  Json document = {{"bug_strikes", driver.bug_strikes()}, {"capture_mode", driver.captures}};
  document["libraries"] = Json::array();
  for (const IntelLibrary& library : driver.libraries)
    document["libraries"].push_back(
        {{"interface", library.interface}, {"path", library.path}, {"version", library.version}});
  document["gpus"] = Json::array();
  for (const IntelGpu& gpu : driver.gpus)
    document["gpus"].push_back(
        {{"address", gpu.address}, {"id", gpu.id}, {"discrete", gpu.is_discrete}});
  if (driver.libraries.empty()) return document;
  document["verdict"] = driver.verdict();
  document["remedy"] = driver.remedy();
  return document;
}

std::vector<std::pair<std::string, std::string>> lines_of(const IntelDriver& driver) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (driver.libraries.empty()) return lines;
  for (const IntelLibrary& library : driver.libraries)
    lines.emplace_back("Intel's driver",
                       fmt::format("{} {}, {}", library.interface, library.version, library.path));
  for (const IntelGpu& gpu : driver.gpus)
    lines.emplace_back("Intel GPU", fmt::format("{} at {}, {}", gpu.id, gpu.address,
                                                gpu.is_discrete ? "discrete" : "integrated"));
  lines.emplace_back("SIGSEGV there", driver.verdict());
  lines.emplace_back("type", driver.remedy());
  return lines;
}

}  // namespace sluice::tool
