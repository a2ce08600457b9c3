// Shared parts of the verbs' reports. See report.hpp.

#include "report.hpp"

#include <fmt/core.h>

#include <cstdio>

#include "os/machine.hpp"

namespace sluice::tool {

std::string bytes_in_words(std::size_t bytes) {
  constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return value == static_cast<double>(static_cast<std::size_t>(value))
             ? fmt::format("{:.0f} {}", value, units[unit])
             : fmt::format("{:.1f} {}", value, units[unit]);
}

Json machine_facts() {
  const os::Machine machine = os::inspect_machine();
  Json facts = {
      {"kernel", machine.kernel}, {"cpus", machine.cpus}, {"memory", machine.memory.total}};
  facts["page_table_isolation"] =
      machine.page_table_isolation ? Json(*machine.page_table_isolation) : Json();
  return facts;
}

void print_json(const Json& document) {
  // Bytes that are not UTF-8 (in a path, say) are replaced rather than refused.
  fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
  std::fflush(stdout);
}

void cannot_run(const char* what, const Error& error) {
  throw CannotRun(fmt::format("{}: {} ({})\nTry: sluice doctor", what, error.detail(),
                              to_string(error.code())));
}

}  // namespace sluice::tool
