// Hints: eviction on request, discard, and advice. prefetcher.cc prefetches, copy.cc copies.
//
// Each hint goes block by block; a kernel in the way is waited for without claims. What it does not
// do: wait for a lease.
#include "engine/hints.hpp"

#include <algorithm>
#include <utility>

#include "engine/lease_rules.hpp"

namespace sluice::engine {
namespace {

// A refused call has changed nothing, so all blocks are asked before the first is changed. A lease
// that begins meanwhile is found later: the program then races with itself.
template <typename Check>
Result<void> check_blocks(Range& range, AddressSpan span, Check check) {
  for (Address at = span.begin; at < span.end();) {
    Block& block = range.block_of(at);
    const ScopedClaim claim(block.claim);
    SLUICE_TRY(check(block));
    at = block.begin + block_size;
  }
  return {};
}

Result<void> may_leave(const Block& block, int device) {
  if (block.state().leases().any_at(Location::device(device)))
    return fail(ErrorCode::busy, "%#lx is leased on device %d", block.begin.value, device);
  if (block.state().mapped().rights(device) != Rights::none)
    return held_by_leases(block, "evicting it from there");
  return {};
}

Result<void> may_be_discarded(const Block& block) {
  if (block.state().leases().any()) return held_by_leases(block, "discarding it");
  return {};
}

}  // namespace

// --- eviction on request, discard ----------------------------------------------------------------

Result<void> Hints::evict(AddressSpan span, int device) {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  if (range->kind != Kind::shared)
    return fail(ErrorCode::unsupported, "%#lx is not of Kind::shared; it stays where it is",
                span.begin.value);
  SLUICE_TRY(check_blocks(*range, span, [=](Block& block) { return may_leave(block, device); }));
  for (Address at = span.begin; at < span.end();) {
    Block& block = range->block_of(at);
    std::optional<ActiveUse> obstacle;
    Result<void> done;
    {
      const ScopedClaim claim(block.claim);
      SLUICE_TRY(may_leave(block, device));
      obstacle = parts_.readiness.take(*range, block,
                                       {.span = block.span(),
                                        .access = Access::write,
                                        .unmapped = DeviceSet(device),
                                        .mapping_only = true});
      const AllocationRequest leaving{range.get(), &block};
      if (!obstacle) done = parts_.residency.evict(device, {&leaving, 1});
    }
    SLUICE_TRY(parts_.losses.tell(done));
    if (obstacle)
      (void)parts_.timelines.wait(obstacle->fence, {});
    else
      at = block.begin + block_size;
  }
  return {};
}

Result<void> Hints::discard(AddressSpan span) {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  if (range->kind != Kind::shared)
    return fail(ErrorCode::unsupported,
                "%#lx is not of Kind::shared; only shared ranges can be discarded",
                span.begin.value);
  // Rounds to whole pages inside, and to whole blocks where the host is on huge pages.
  const std::size_t unit = range->host_pages == HostPages::huge ? block_size : page_size;
  const Address begin{round_up(span.begin.value, unit)};
  // The last page of a range is whole if all of the range's bytes in it are named.
  const bool to_the_end = span.end() == range->pages.begin + range->size;
  const Address end = to_the_end ? range->pages.end() : Address{round_down(span.end().value, unit)};
  if (begin < end) SLUICE_TRY(check_blocks(*range, {begin, end - begin}, may_be_discarded));
  for (Address at = begin; at < end;) {
    Block& block = range->block_of(at);
    const AddressSpan part{at, std::min(end, block.span().end()) - at};
    SLUICE_ASSIGN(obstacle, discard_block(*range, block, part));
    if (obstacle)
      (void)parts_.timelines.wait(obstacle->fence, {});
    else
      at = block.begin + block_size;
  }
  return {};
}

Result<std::optional<ActiveUse>> Hints::discard_block(Range& range, Block& block,
                                                      AddressSpan part) {
  const ScopedClaim claim(block.claim);
  SLUICE_TRY(may_be_discarded(block));
  const PageMask pages = block.pages_in(part);
  const Task task{&range,
                  &block,
                  plan::discard(block.state().directory, pages, parts_.abilities),
                  {.cause = Cause::discard}};
  const auto obstacle = parts_.readiness.take(range, block,
                                              {.span = part,
                                               .access = Access::write,
                                               .unmapped = unmapped_by(task.plan),
                                               .for_good = true});
  if (obstacle) return obstacle;
  const bool lost = block.state().directory.lost().intersects(pages);
  Result<void> done = parts_.stages.run({&task, 1});
  if (done)
    done = parts_.keeps_host_memory ? parts_.memory.clear(part) : parts_.memory.discard(part);
  if (done && lost) done = parts_.source.allow(part);
  if (done) {
    const MutexLock lock(block.mutex);
    block.change().directory.discard(pages);
  }
  parts_.readiness.refresh(range, block);
  if (!done) return tl::unexpected<Error>(done.error());
  return std::optional<ActiveUse>{};
}

// --- advice --------------------------------------------------------------------------------------

Result<void> Hints::advise(AddressSpan span, AdviceKind kind, Location location) {
  const bool names_device = kind == AdviceKind::accessed_by || kind == AdviceKind::not_accessed_by;
  if (names_device && location.is_host())
    return fail(ErrorCode::invalid_argument,
                "accessed_by and not_accessed_by name a device; the host always has access");
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  range->change_advice(span, [&](Attributes& attributes) {
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
  });
  parts_.mover.reconsider(*range, span);
  return {};
}

}  // namespace sluice::engine
