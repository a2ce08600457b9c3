// BlockMover brings one block's bytes: plan, ask the tracker, run, update the block's readiness.
//
// Cost: the plan, a mutex, and the plan's steps. What it does not do: wait for a kernel in the way.
// The caller holds claims, and decides.
#include "engine/block_mover.hpp"

namespace sluice::engine {

RevokeRequest BlockMover::revoke_request_for(const plan::Request& request,
                                             const Task& task) const noexcept {
  return engine::revoke_request_for(request, task.plan, *task.block, abilities_);
}

Result<std::optional<ActiveUse>> BlockMover::bring(Range& range, Block& block,
                                                   const plan::Request& request, Cause cause) {
  const Task task{&range,
                  &block,
                  plan::acquire(block.state().directory, request, abilities_),
                  {.cause = cause}};
  if (task.plan.empty()) return std::optional<ActiveUse>{};
  const auto obstacle = readiness_.take(range, block, revoke_request_for(request, task));
  if (obstacle) return obstacle;
  const Result<void> done = stages_.run({&task, 1});
  readiness_.refresh(range, block);
  if (!done) return tl::unexpected<Error>(done.error());
  return std::optional<ActiveUse>{};
}

PageMask BlockMover::widen(const Block& block, PageMask pages,
                           HostPages host_pages) const noexcept {
  if (host_pages == HostPages::huge) return block.every_page();
  return pages.widened(abilities_.granule, block.extent());
}

void BlockMover::reconsider(Range& range, AddressSpan span) {
  if (range.kind != Kind::shared) return;
  for (std::size_t i = range.index_of(span.begin); i <= range.index_of(span.end() - 1); ++i) {
    Block& block = range.blocks[i];
    const ScopedClaim claim(block.claim);
    {
      const MutexLock lock(block.mutex);
      for (DevicePart& part : block.change().parts) part.host_mapping_lasts = false;
    }
    readiness_.refresh(range, block);
  }
}

}  // namespace sluice::engine
