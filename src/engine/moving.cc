// Moving data outside launches and accesses: eviction on request, discard, and advice. prefetch.cc prefetches, copy.cc copies.
//
// Each goes block by block; a kernel in the way is waited for with nothing held. What it does not do: wait for a lease.
#include <algorithm>

#include "engine/engine.hpp"
#include "engine/leases.hpp"
#include "engine/relocations.hpp"

namespace sluice::engine {

Taking Engine::taking_for(const plan::Request& request, const Task& task) const noexcept {
  const bool shares = request.access == Access::read && request.means == plan::Means::own &&
                      abilities_.host_can_share;
  return {.span = task.block->hull_of(request.pages),
          .access = shares ? Access::read : Access::write,
          .by_device = request.to.is_device() ? request.to.number() : -1,
          .unmapped = unmapped_by(task.plan),
          .overwritten = overwritten_by(task.plan, *task.block)};
}

Result<std::optional<ActiveUse>> Engine::bring(Range& range, Block& block,
                                               const plan::Request& request) {
  const Task task{&range, &block, plan::acquire(block.directory, request, abilities_)};
  if (task.plan.empty()) return std::optional<ActiveUse>{};
  const auto obstacle = gate_->take(range, block, taking_for(request, task));
  if (obstacle) return obstacle;
  const Result<void> done = stages_->run({&task, 1});
  gate_->refresh(range, block);
  if (!done) return tl::unexpected<Error>(done.error());
  return std::optional<ActiveUse>{};
}

// --- moving mapped memory ---------------------------------------------------------------------------------------------------

Result<void> Engine::relocate(AddressSpan span, Location to, MappingReport& report) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_location(to));
  return tell(relocations_->relocate(span, to, report));
}

// --- eviction on request, discard -------------------------------------------------------------------------------------------

Result<void> Engine::evict(AddressSpan span, int device) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_device(device));
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  if (range->kind != Kind::shared)
    return fail(ErrorCode::unsupported, "%#lx is not of Kind::shared; it stays where it is",
                span.begin.value);
  for (Address at = span.begin; at < span.end();) {
    Block& block = range->block_of(at);
    std::optional<ActiveUse> obstacle;
    Result<void> done;
    {
      const Claim claim(block.claim);
      if (block.leases != 0 && block.leased_at == Location::device(device))
        return fail(ErrorCode::busy, "%#lx is leased on device %d", block.begin.value, device);
      if (block.mapped_rights(device) != Rights::none)
        return held_by_leases(block, "evicting it from there");
      obstacle = gate_->take(*range, block,
                             {.span = block.span(),
                              .access = Access::write,
                              .unmapped = std::uint64_t{1} << static_cast<unsigned>(device),
                              .mapping_only = true});
      const Wanting leaving{range.get(), &block};
      if (!obstacle) done = room_->evict(device, {&leaving, 1});
    }
    SLUICE_TRY(tell(done));
    if (obstacle)
      (void)timelines_.wait(obstacle->fence, {});
    else
      at = block.begin + block_size;
  }
  return {};
}

Result<void> Engine::discard(AddressSpan span) {
  SLUICE_TRY(alive());
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  if (range->kind != Kind::shared)
    return fail(ErrorCode::unsupported,
                "%#lx is not of Kind::shared; only shared ranges can be discarded",
                span.begin.value);
  // Whole pages inside, and whole blocks where the host is on huge pages.
  const std::size_t unit = range->host_pages == HostPages::huge ? block_size : page_size;
  const Address begin{round_up(span.begin.value, unit)};
  // The last page of a range is whole if all of the range's bytes in it are named.
  const bool to_the_end = span.end() == range->pages.begin + range->size;
  const Address end = to_the_end ? range->pages.end() : Address{round_down(span.end().value, unit)};
  for (Address at = begin; at < end;) {
    Block& block = range->block_of(at);
    const AddressSpan part{at, std::min(end, block.span().end()) - at};
    SLUICE_ASSIGN(obstacle, discard_block(*range, block, part));
    if (obstacle)
      (void)timelines_.wait(obstacle->fence, {});
    else
      at = block.begin + block_size;
  }
  return {};
}

Result<std::optional<ActiveUse>> Engine::discard_block(Range& range, Block& block,
                                                       AddressSpan part) {
  const Claim claim(block.claim);
  if (block.leases != 0) return held_by_leases(block, "discarding it");
  const PageMask pages = block.pages_in(part);
  const Task task{&range, &block, plan::discard(block.directory, pages, abilities_)};
  const auto obstacle = gate_->take(range, block,
                                    {.span = part,
                                     .access = Access::write,
                                     .unmapped = unmapped_by(task.plan),
                                     .for_good = true});
  if (obstacle) return obstacle;
  const bool lost = block.directory.lost().intersects(pages);
  Result<void> done = stages_->run({&task, 1});
  if (done) done = keeps_host_memory_ ? memory_->clear(part) : memory_->discard(part);
  if (done && lost) done = source_->allow(part);
  if (done) {
    MutexLock lock(block.mutex);
    block.directory.discard(pages);
  }
  gate_->refresh(range, block);
  if (!done) return tl::unexpected<Error>(done.error());
  return std::optional<ActiveUse>{};
}

// --- advice -----------------------------------------------------------------------------------------------------------------

Result<void> Engine::advise(AddressSpan span, AdviceKind kind, Location location) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_location(location));
  const bool names_device = kind == AdviceKind::accessed_by || kind == AdviceKind::not_accessed_by;
  if (names_device && location.is_host())
    return fail(ErrorCode::invalid_argument,
                "accessed_by and not_accessed_by name a device; the host always has access");
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  const auto first = static_cast<std::uint32_t>((span.begin - range->pages.begin) / page_size);
  const auto end =
      static_cast<std::uint32_t>((span.end() - range->pages.begin + page_size - 1) / page_size);
  std::vector<std::pair<PageSpan, Attributes>> changed;
  {
    MutexLock lock(range->advice_mutex);
    range->advice.for_each({first, end - first}, [&](PageSpan run, Attributes attributes) {
      switch (kind) {
        case AdviceKind::prefer:
          attributes.preferred = location;
          break;
        case AdviceKind::no_preference:
          attributes.preferred.reset();
          break;
        case AdviceKind::accessed_by:
          attributes.accessed_by.insert(location);
          break;
        case AdviceKind::not_accessed_by:
          attributes.accessed_by.erase(location);
          break;
        case AdviceKind::read_mostly:
          attributes.read_mostly = true;
          break;
        case AdviceKind::not_read_mostly:
          attributes.read_mostly = false;
          break;
      }
      changed.emplace_back(run, attributes);
    });
    for (const auto& [run, attributes] : changed) range->advice.assign(run, attributes);
  }
  reconsider(*range, span);
  return {};
}

// Blocks that are reached in host memory for a reason that may be gone are looked at again by the next launch.
void Engine::reconsider(Range& range, AddressSpan span) {
  if (range.kind != Kind::shared) return;
  for (std::size_t i = range.index_of(span.begin); i <= range.index_of(span.end() - 1); ++i) {
    Block& block = range.blocks[i];
    const Claim claim(block.claim);
    {
      MutexLock lock(block.mutex);
      for (DevicePart& part : block.parts) part.reach_lasts = false;
    }
    gate_->refresh(range, block);
  }
}

}  // namespace sluice::engine
