// Starts the core of an engine.
//
// The devices come first, because budgets, strict mode and the possible plans depend on them; the
// fault source comes last, because it may ask from then on. What it does not do: start the threads
// of the other parts (parts.cc).
#include "engine/core.hpp"

#include <algorithm>
#include <utility>

#include "base/deadline.hpp"
#include "fault/open_fault_source.hpp"

namespace sluice::engine {

Core::Core(const SpaceOptions& resolved, std::unique_ptr<os::HostMemory> host)
    : options(resolved),
      memory(std::move(host)),
      host_budget(options.host_budget),
      ranges(memory->window()),
      host_access({options, devices, timelines, ranges, readiness, stages, mover, *memory, headroom,
                   abilities, observer}) {}

Result<void> Core::start() {
  ByDevice<std::size_t> budgets;
  for (int device = 0; device < devices.count(); ++device) {
    const std::size_t whole = devices[device].traits().memory_size;
    budgets[device] = options.device_budget == 0 ? whole : std::min(options.device_budget, whole);
  }
  if (options.strict != Strict::off)
    strict = std::make_unique<StrictMode>(options.strict, timelines, devices);
  residency = std::make_unique<ResidencyManager>(devices, budgets, ranges, readiness, stages,
                                                 observer, abilities, launches);
  relocations =
      std::make_unique<Relocations>(RelocationParts{devices, timelines, ranges, readiness,
                                                    *residency, observer, *memory, host_budget},
                                    bounded(options.stop_interval));
  SLUICE_ASSIGN(opened, fault::open_fault_source({options.best_grade, options.handler_threads},
                                                 *memory, host_access));
  source = std::move(opened);
  abilities.host_can_share = source->can_share();
  stages.use(*source);
  return host_access.start(*source);
}

}  // namespace sluice::engine
