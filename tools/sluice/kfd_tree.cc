// A folder for each machine, by a hash of all that is in it, so that it is written once. It stays:
// programs that the program starts find it by the same environment.
#include "kfd_tree.hpp"

#include <fmt/core.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <system_error>

#include "face/kfd/plan/step_plan.hpp"
#include "face/kfd/topology/topology.hpp"
#include "face/kfd/uapi/spec.hpp"
#include "os/environment.hpp"
#include "own_folder.hpp"
#include "report.hpp"

namespace sluice::tool {
namespace {

// As the host is named in the topology: by its first processor's APIC id.
std::uint32_t first_apic_id() {
  std::ifstream lines("/proc/cpuinfo");
  std::string line;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("apicid") && colon != std::string::npos)
      return static_cast<std::uint32_t>(std::strtoul(line.c_str() + colon + 2, nullptr, 10));
  }
  return 0;
}

kfd::HostShape this_host(const kfd::MachineSpec& spec) {
  struct sysinfo info{};
  (void)::sysinfo(&info);
  const std::uint64_t all = std::uint64_t{info.totalram} * info.mem_unit;
  const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  return {.processors = processors > 0 ? static_cast<int>(processors) : 1,
          .first_apic_id = first_apic_id(),
          .memory = spec.system != 0 ? spec.system : all};
}

void write_all(const std::filesystem::path& folder,
               const std::map<std::string, std::string>& files) {
  for (const auto& [path, text] : files) {
    const std::filesystem::path file = folder.string() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out << text;
    out.close();
    if (!out) throw CannotRun(fmt::format("cannot write {}", file.string()));
  }
}

}  // namespace

std::filesystem::path make_kfd_tree(const std::string& machine) {
  const auto spec = kfd::parse_spec(machine);
  if (!spec) throw CannotRun(std::string(spec.error().detail()));
  const char* const plan = os::environment("SLUICE_FAULT_PLAN");
  const auto steps = kfd::StepPlan::make(plan != nullptr ? plan : "", spec->gpus);
  if (!steps) throw CannotRun(std::string(steps.error().detail()));

  const auto files = kfd::topology_files(*spec, this_host(*spec));
  std::string content;
  for (const auto& [path, text] : files) content += path + '\n' + text;
  const std::filesystem::path folder =
      own_folder() / fmt::format("kfd-{:016x}", std::hash<std::string>()(content));
  make_own(folder.parent_path());
  if (std::filesystem::exists(folder)) {
    make_own(folder);
    return folder;
  }
  // Whole under its name, or not there: another process may do the same.
  const std::filesystem::path made = fmt::format("{}.{}", folder.string(), ::getpid());
  try {
    make_own(made);
    write_all(made, files);
  } catch (const std::filesystem::filesystem_error& error) {
    throw CannotRun(error.what());
  }
  std::error_code error;
  std::filesystem::rename(made, folder, error);
  if (error) std::filesystem::remove_all(made, error);
  make_own(folder);
  return folder;
}

}  // namespace sluice::tool
