// sluice doctor: reports this machine's abilities, the settings in force, and for each problem the
// command that remedies it.
//
// It is for the first hour with Sluice, and for bug reports (`--json`). It looks, tries, and
// changes nothing; doctor/examination.cc describes its judgements and their reasons.

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "doctor/cuda.hpp"
#include "doctor/examination.hpp"
#include "doctor/intel.hpp"
#include "opencl_library.hpp"
#include "report.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace sluice::tool {
namespace {

std::string limit_in_words(std::size_t limit) {
  return limit == SIZE_MAX ? "no limit" : bytes_in_words(limit);
}

std::string segv_in_words(const os::SegvOwner& owner) {
  if (owner.action != "handler") return owner.action;
  return fmt::format("a handler{}{}", owner.symbol.empty() ? "" : " " + owner.symbol,
                     owner.library.empty() ? "" : " of " + owner.library);
}

const char* back_ends_in_words() {
  return "software devices; NVIDIA GPUs (SpaceOptions::cuda); OpenCL drivers: sluice doctor "
         "--opencl";
}

std::string strict_in_words(const Examination& examination) {
  return examination.gpus.empty()
             ? "on software devices: sluice run --strict"
             : "on software devices: sluice run --strict; NVIDIA GPUs cannot limit a launch";
}

// --- JSON ----------------------------------------------------------------------------------------

Json json_of(const DeviceInfo& device) {
  return {{"number", device.number},
          {"name", device.name},
          {"memory", device.memory_size},
          {"copy_engines", device.copy_engines},
          {"recoverable_faults", device.recoverable_faults},
          {"maps_host_memory", device.maps_host_memory},
          {"copies_from_peers", device.copies_from_peers},
          {"native_atomics", device.native_atomics},
          {"read_only_mappings", device.read_only_mappings}};
}

Json json_of_limit(std::size_t limit) { return limit == SIZE_MAX ? Json() : Json(limit); }

Json json_of(const os::Limits& limits) {
  return {{"max_map_count", limits.mappings},
          {"mappings_in_use", limits.mappings_in_use},
          {"memlock", json_of_limit(limits.locked_memory)},
          {"nofile", limits.open_files},
          {"address_space", json_of_limit(limits.address_space)},
          {"overcommit", limits.overcommit}};
}

Json json_of(const Examination& examination) {
  const os::Machine& machine = examination.machine;
  Json document = {{"usable", examination.usable()}};
  document["grade"] = to_string(examination.space ? examination.space->grade : machine.faults.best);
  document["grade_reason"] =
      examination.space ? examination.space->grade_reason : machine.faults.reason;
  document["machine"] = machine_facts();
  document["kernel"] = {{"release", machine.kernel},
                        {"userfaultfd_features", userfaultfd_features(machine.faults.features)},
                        {"can_share", machine.faults.can_share}};
  document["huge_pages"] = {
      {"pool", machine.huge_pages.pool},
      {"pool_free", machine.huge_pages.pool_free},
      {"transparent", machine.huge_pages.transparent},
      {"transparent_shared", machine.huge_pages.transparent_shared},
      {"in_force", examination.space ? Json(to_string(examination.space->host_pages)) : Json()},
      {"private_tmpfs",
       examination.space ? Json(examination.space->no_private_tmpfs.empty()) : Json()},
      {"no_private_tmpfs", examination.space ? Json(examination.space->no_private_tmpfs) : Json()}};
  document["limits"] = json_of(machine.limits);
  document["memory"] = {
      {"total", machine.memory.total},
      {"available", machine.memory.available},
      {"cgroup_limit", machine.memory.cgroup_limit ? Json(*machine.memory.cgroup_limit) : Json()}};
  document["sigsegv"] = {{"action", machine.segv.action},
                         {"library", machine.segv.library},
                         {"symbol", machine.segv.symbol}};
  document["back_ends"] = {
      {"software", "available"},
      {"cuda", examination.gpus.empty() ? "none: " + examination.no_gpus : "available"},
      {"opencl", "sluice run --opencl"}};
  document["intel"] = json_of(look_at_intel());
  document["strict"] = strict_in_words(examination);
  document["devices"] = Json::array();
  for (const DeviceInfo& device : examination.devices)
    document["devices"].push_back(json_of(device));
  document["problems"] = Json::array();
  for (const Problem& problem : examination.problems) {
    document["problems"].push_back({{"severity", name_of(problem.severity)},
                                    {"what", problem.what},
                                    {"meaning", problem.meaning},
                                    {"remedy", problem.remedy}});
  }
  return document;
}

// --- text ----------------------------------------------------------------------------------------

void line(const std::string& name, const std::string& value) {
  constexpr std::size_t column = 25;
  fmt::print("{}", entry(name, value, column));
}

void print_access(const Examination& examination) {
  const os::FaultDelivery& faults = examination.machine.faults;
  const Grade grade = examination.space ? examination.space->grade : faults.best;
  const std::string& reason = examination.space ? examination.space->grade_reason : faults.reason;
  fmt::print("Host accesses\n");
  line("grade", fmt::format("{}{}", to_string(grade),
                            reason.empty() ? " (user and kernel accesses)" : ": " + reason));
  std::string features;
  for (const std::string& feature : userfaultfd_features(faults.features))
    features += (features.empty() ? "" : " ") + feature;
  line("userfaultfd", features.empty() ? "none" : features);
  line("read-only sharing",
       faults.can_share ? "yes: a host read leaves a device's copy valid" : "no");
  line("SIGSEGV belongs to", segv_in_words(examination.machine.segv));
  line("handlers of others",
       grade == Grade::signal
           ? "take faults away if they are set later: start programs with sluice run --guard"
           : "no matter: no signal is used (Catch2, doctest, UCX, debuggers, language runtimes)");
}

void print_machine(const os::Machine& machine, const std::optional<SpaceStatus>& space) {
  fmt::print("Machine\n");
  line("kernel", machine.kernel);
  line("CPUs", std::to_string(machine.cpus));
  line("page-table isolation", !machine.page_table_isolation   ? "unknown"
                               : *machine.page_table_isolation ? "on"
                                                               : "off");
  line("memory",
       fmt::format(
           "{}, {} available, cgroup limit: {}", bytes_in_words(machine.memory.total),
           bytes_in_words(machine.memory.available),
           machine.memory.cgroup_limit ? bytes_in_words(*machine.memory.cgroup_limit) : "none"));
  line("huge pages",
       fmt::format("pool {} ({} free); transparent: {}; for memory files: {}",
                   machine.huge_pages.pool, machine.huge_pages.pool_free,
                   machine.huge_pages.transparent, machine.huge_pages.transparent_shared));
  if (space) {
    line("ranges are on",
         fmt::format("{} pages, unless told otherwise", to_string(space->host_pages)));
    line("host memory is",
         space->no_private_tmpfs.empty()
             ? "a private tmpfs, with huge pages for dense blocks"
             : fmt::format("a memory file (no private tmpfs: {})", space->no_private_tmpfs));
  }
  line("vm.max_map_count",
       fmt::format("{}, {} in use", machine.limits.mappings, machine.limits.mappings_in_use));
  line("memlock", limit_in_words(machine.limits.locked_memory));
  line("open files", fmt::format("at most {}", machine.limits.open_files));
  line("addresses", limit_in_words(machine.limits.address_space));
}

void print_devices(const Examination& examination) {
  fmt::print("Devices\n");
  line("back ends", back_ends_in_words());
  line("strict mode", strict_in_words(examination));
  if (!examination.no_gpus.empty()) line("NVIDIA GPUs", "none: " + examination.no_gpus);
  for (const device::cuda::Gpu& gpu : examination.gpus)
    line("NVIDIA GPU", fmt::format("{}, {}, {}", gpu.name, bytes_in_words(gpu.memory_size),
                                   gpu.native_atomics ? "native atomics with the host"
                                                      : "no native atomics with the host"));
  for (const auto& [name, text] : lines_of(look_at_intel())) line(name.c_str(), text);
  for (const DeviceInfo& device : examination.devices) {
    line(fmt::format("device {}", device.number),
         fmt::format("{}: {} (as asked for), {} copy engines{}{}{}", device.name,
                     bytes_in_words(device.memory_size), device.copy_engines,
                     device.maps_host_memory ? ", maps host memory" : "",
                     device.copies_from_peers ? ", copies from peers" : "",
                     device.native_atomics ? ", native atomics with the host"
                                           : ", no native atomics with the host"));
  }
}

// A command is never broken into lines, so that it can be copied; the text about it is.
std::string remedy_in_words(const std::string& remedy) {
  constexpr std::size_t column = 12;
  const std::size_t note = std::min(remedy.find("    ("), remedy.size());
  const std::string command = remedy.substr(0, note);
  const bool fits = column + command.size() <= terminal_width();
  std::string text = (fits ? "  type:     " : "  type:\n    ") + command + "\n";
  if (note == remedy.size()) return text;
  const std::string words = remedy.substr(remedy.find('(', note));
  return text + std::string(column, ' ') + wrapped(words, column, column) + "\n";
}

std::string verdict(const Examination& examination) {
  if (!examination.usable()) return "Sluice does not work here";
  const Grade grade =
      examination.space ? examination.space->grade : examination.machine.faults.best;
  if (grade == Grade::full) return "Sluice works here";
  return fmt::format("Sluice works here in grade {}; what that leaves out is said above",
                     to_string(grade));
}

void print_problems(const Examination& examination) {
  constexpr std::size_t column = 12;
  if (examination.problems.empty()) fmt::print("No problems.\n");
  for (const Problem& problem : examination.problems) {
    fmt::print("\n{}\n  it means: {}\n{}",
               wrapped(fmt::format("{}: {}", name_of(problem.severity), problem.what), 0, 2),
               wrapped(problem.meaning, column, column), remedy_in_words(problem.remedy));
  }
  fmt::print("\ndoctor: {}\n", verdict(examination));
}

// Loading drivers takes long, and they may do anything in a process; so this is done only on
// request.
Exit run_opencl(bool json) {
  const std::vector<OpenclDevice> devices = OpenclLibrary().devices();
  Json document = Json::array();
  for (const OpenclDevice& device : devices) {
    if (!json) {
      fmt::print("{}\n", wrapped(fmt::format("{} ({}): {}", device.name, device.platform_name,
                                             device.choice),
                                 0, 2));
    }
    document.push_back(
        {{"platform", device.platform_name}, {"device", device.name}, {"choice", device.choice}});
  }
  if (json) print_json(document);
  if (!json && devices.empty()) fmt::print("No OpenCL device.\n");
  return devices.empty() ? Exit::found_wrong : Exit::good;
}

Exit run_cuda(bool json) {
  const CudaExamination examination = examine_cuda();
  if (json)
    print_json(json_of(examination));
  else
    print(examination);
  return examination.works() ? Exit::good : Exit::found_wrong;
}

Exit run_doctor(bool json) {
  const Examination examination = examine();
  if (json) {
    print_json(json_of(examination));
  } else {
    print_access(examination);
    print_machine(examination.machine, examination.space);
    print_devices(examination);
    print_problems(examination);
  }
  return examination.usable() ? Exit::good : Exit::found_wrong;
}

}  // namespace

void add_doctor(CLI::App& app, Run& chosen) {
  const auto json = std::make_shared<bool>(false);
  const auto opencl = std::make_shared<bool>(false);
  const auto cuda = std::make_shared<bool>(false);
  CLI::App* verb =
      app.add_subcommand("doctor",
                         "Say what this machine offers: how host accesses are caught (the grade) "
                         "and why not better, kernel, huge pages, limits, "
                         "devices; and for each problem the command that remedies it.");
  verb->add_flag("--json", *json, "Print one JSON object; put it into bug reports");
  verb->add_flag("--opencl", *opencl,
                 "Say instead how each OpenCL device here is given shared memory, and why so");
  verb->add_flag("--cuda", *cuda, "Say instead what sluice run --cuda does here, and why not more");
  verb->footer(
      "Status 0 if Sluice works here, 1 if not.\n"
      "Examples:\n"
      "  sluice doctor\n"
      "  sluice doctor --json | jq -r '.problems[].remedy'");
  verb->callback([json, opencl, cuda, &chosen] {
    chosen = [json, opencl, cuda] {
      if (*cuda) return run_cuda(*json);
      return *opencl ? run_opencl(*json) : run_doctor(*json);
    };
  });
}

}  // namespace sluice::tool
