// Shared parts of the verbs' reports. See report.hpp.

#include "report.hpp"

#include <fmt/core.h>

#include <cstdio>

#include "os/machine.hpp"

namespace sluice::tool {

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

}  // namespace sluice::tool
