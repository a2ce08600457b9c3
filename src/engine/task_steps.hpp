// The steps of tasks, one by one, and the pages and places that they name: what the stages share.
#pragma once

#include <cstdint>
#include <span>

#include "engine/stages.hpp"

namespace sluice::engine {

// Calls `visit(task, step)` for every step of a kind, in order, until an error.
template <typename Visitor>
Result<void> for_each_step(std::span<const Task> tasks, plan::StepKind kind, Visitor&& visit) {
  for (const Task& task : tasks)
    for (const plan::Step& step : task.plan.steps())
      if (step.kind == kind) SLUICE_TRY(visit(task, step));
  return {};
}

template <typename Visitor>
Result<void> for_each_span(const Block& block, const PageMask& pages, Visitor&& visit) {
  for (PageSpan run = pages.next_run(0); run.count != 0; run = pages.next_run(run.end()))
    SLUICE_TRY(visit(block.span_of(run)));
  return {};
}

inline device::Place place_of(const Block& block, Location location, std::uint32_t page)
    SLUICE_REQUIRES(block.claim) {
  if (location.is_host()) return device::Place::host(block.begin + page * page_size);
  const DevicePart& part = *block.state().part(location.number());
  return {Location::device(part.owner()), part.allocation.handle, page * page_size};
}

inline std::uint32_t pages_in(std::size_t granule) {
  return static_cast<std::uint32_t>(granule / page_size);
}

// Keeps only pages in granules that are contained whole.
inline PageMask whole_granules(const Block& block, const PageMask& pages, std::size_t granule) {
  const PageMask all = block.every_page();
  return pages - (all - pages).widened(pages_in(granule), block.extent());
}

// Notes in the directory that a step was carried out.
inline void apply(const Task& task, const plan::Step& step) {
  Block& block = *task.block;
  block.claim.assert_held();
  task.range->note_used();
  // The host may come back for bytes or rights taken from it.
  if (step.others.has_host()) task.range->forget_host_accesses(block);
  const MutexLock lock(block.mutex);
  plan::apply(step, block.change().directory);
}

}  // namespace sluice::engine
