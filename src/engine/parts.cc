// Wires the parts of an engine together.
//
// What it does not do: decide anything. Options are in the core.
#include "engine/parts.hpp"

namespace sluice::engine {

Parts::Parts(Core& core)
    : fatal_faults({core.devices, core.ranges, core.readiness, core.strict.get()}),
      fences({core.checks, core.timelines, core.readiness, core.owed, fatal_faults, core.losses}),
      queries({core.options, core.devices, core.timelines, core.ranges, core.readiness,
               *core.residency, *core.relocations, *core.memory, core.host_pool, *core.source,
               core.strict.get(), core.observer}),
      allocator({core.checks, core.options, core.devices, core.timelines, core.ranges,
                 core.readiness, core.stages, *core.residency, *core.relocations, *core.memory,
                 core.host_budget, *core.source, core.abilities, core.losses, core.observer,
                 core.host_zone, core.keeps_host_memory, core.host_pool, core.headroom}),
      bytes({core.checks, core.options, core.devices, core.timelines, core.ranges, core.readiness,
             core.stages, core.mover, *core.memory, allocator, core.abilities, core.losses,
             core.observer}),
      preparation({core.options, core.devices, core.timelines, core.ranges, core.readiness,
                   core.stages, *core.residency, *core.relocations, core.mover, *core.source,
                   core.abilities}),
      launches({core.devices, core.timelines, core.ranges, core.readiness, preparation, core.owed,
                core.losses, core.strict.get(), core.launches, core.observer, core.kernels.get()}),
      mappings({core.checks, core.ranges, allocator,
                MappingRunParts{core.devices, core.timelines, core.readiness, *core.residency,
                                core.mover, *core.source, core.losses, core.observer}}),
      leases({core.ranges, core.timelines, *core.residency, *core.relocations, core.mover,
              *core.source, core.losses}),
      hints({core.ranges, core.timelines, core.readiness, core.stages, *core.residency, core.mover,
             *core.memory, *core.source, core.abilities, core.keeps_host_memory, core.losses}),
      prefetcher({core.ranges, core.timelines, core.readiness, core.stages, *core.residency,
                  core.mover, *core.source, core.abilities, core.launches, core.observer}),
      loss_accounting({core.devices, core.timelines, core.ranges, core.readiness, core.stages,
                       *core.residency, *core.source, core.observer, core.losses}),
      answers({core.options, core.devices, core.timelines, core.ranges, *core.residency, core.mover,
               core.events.queue(), core.observer}) {
  if (core.strict != nullptr)
    limited.emplace(LimitedAccessesParts{
        core.options, core.devices, core.ranges, core.readiness, core.stages, *core.residency,
        core.mover, core.abilities, *core.strict, answers, core.events.queue(), core.observer});
}

Result<void> Parts::start(Core& core) {
  SLUICE_TRY(allocator.start());
  SLUICE_TRY(prefetcher.start());
  return core.events.start({answers, limited ? &*limited : nullptr, loss_accounting, fatal_faults});
}

}  // namespace sluice::engine
