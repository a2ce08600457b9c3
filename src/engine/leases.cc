// Leases: DMA, MPI and file I/O need bytes to stay put; page tables do not stop a network card.
//
// A lease brings the bytes to where they are wanted and counts itself on each block. Every
// operation that would move a block checks that count under its claim: evictions and prefetches
// skip it, launches reach the bytes in place or are refused, host accesses wait. Several leases on
// a block must agree on the location.
#include "engine/leases.hpp"

#include <algorithm>
#include <utility>

namespace sluice::engine {

namespace {

bool is_away(Block& block) {
  const MutexLock lock(block.mutex);
  return block.locked_state().in_host_memory;
}

}  // namespace

Result<LeaseId> Leases::begin(AddressSpan span, Location location, Access access) {
  SLUICE_ASSIGN(range, parts_.ranges.find_whole(span));
  const bool stays =
      range->kind == Kind::host ? location.is_host() : location == Location::device(range->device);
  if (range->kind != Kind::shared && !stays)
    return fail(ErrorCode::unsupported, "%#lx stays where it is; it cannot be leased elsewhere",
                span.begin.value);

  // Its entry comes first: counts on blocks can then always be taken back, whatever fails, memory
  // included.
  auto made = std::make_unique<Lease>(Lease{std::move(range), span, location, access});
  Lease* const lease = made.get();
  LeaseId id;
  {
    MutexLock lock(mutex_);
    id.value = ++last_;
    leases_.emplace(id.value, std::move(made));
  }
  struct Undo {
    Leases* leases;
    LeaseId lease;
    ~Undo() {
      if (leases != nullptr) leases->end(lease);
    }
  } undo{this, id};
  Range& leased = *lease->range;
  for (std::size_t i = leased.index_of(span.begin); i <= leased.index_of(span.end() - 1); ++i) {
    SLUICE_TRY(parts_.losses.tell(lease_block(leased, leased.blocks[i], *lease)));
    lease->held_to = std::min(leased.blocks[i].begin + block_size, span.end());
  }
  undo.leases = nullptr;
  return id;
}

Result<void> Leases::lease_block(Range& range, Block& block, const Lease& lease) {
  const int device = lease.location.is_device() ? lease.location.number() : 0;  // the host: unused
  Reservation reservation(parts_.residency, parts_.timelines, device);
  for (int losses = 0;;) {
    // Bytes that moved away come home first. A kernel may have to end for that: hold no claim.
    if (is_away(block)) {
      MappingReport report;
      SLUICE_TRY(parts_.relocations.relocate(block.span(), lease.location, report));
    }
    const Result<Attempt> tried = attempt(range, block, lease, reservation);
    if (!tried) {
      SLUICE_TRY(parts_.losses.outlive(tried.error(), lease.location, losses));
    } else if (tried->obstacle) {
      (void)parts_.timelines.wait(tried->obstacle->fence, {});
    } else if (tried->lack && reservation.can_wait(*tried->lack)) {
      (void)reservation.wait(*tried->lack);
    } else if (tried->lack) {
      const Result<void> made =
          reservation.relocate(parts_.relocations, parts_.residency.allocation_size(device, block));
      if (!made)
        return fail(ErrorCode::out_of_device_memory,
                    "device %d has no room for the lease of %#lx: %s", device, block.begin.value,
                    std::string(made.error().detail()).c_str());
    } else if (tried->done) {
      return {};
    }
  }
}

Result<Leases::Attempt> Leases::attempt(Range& range, Block& block, const Lease& lease,
                                        Reservation& reservation) {
  Attempt tried;
  const ScopedClaim claim(block.claim);
  if (block.state().in_host_memory) return tried;
  const BlockLeases& leases = block.state().leases();
  if (leases.any() && leases.location() != lease.location)
    return fail(ErrorCode::busy, "%#lx is leased elsewhere already", block.begin.value);
  const PageMask named = block.pages_in(lease.span);
  if (const PageMask lost = named & block.state().directory.lost(); !lost.empty())
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                block.hull_of(lost).begin.value);
  if (lease.location.is_device() && range.kind == Kind::shared) {
    const AllocationRequest wanted{&range, &block};
    SLUICE_ASSIGN(provision, reservation.attempt({&wanted, 1}));
    if (provision.count == 0) {
      tried.lack = provision;
      return tried;
    }
  }
  const PageMask pages =
      parts_.mover.widen(block, named, range.host_pages) - block.state().directory.lost();
  SLUICE_ASSIGN(in_the_way, parts_.mover.bring(range, block, {lease.location, pages, lease.access},
                                               Cause::lease));
  tried.obstacle = in_the_way;
  if (tried.obstacle) return tried;
  const MutexLock lock(block.mutex);
  block.change().add_lease(lease.access, lease.location);
  tried.done = true;
  return tried;
}

void Leases::release_blocks(const Lease& lease) noexcept {
  Range& range = *lease.range;
  const Address end = lease.held_to;
  if (end <= lease.span.begin) return;
  for (std::size_t i = range.index_of(lease.span.begin); i <= range.index_of(end - 1); ++i) {
    Block& block = range.blocks[i];
    {
      const ScopedClaim claim(block.claim);
      const MutexLock lock(block.mutex);
      block.change().end_lease(lease.access);
    }
    if (range.kind == Kind::shared) parts_.source.wake(block.span());
  }
  parts_.mover.reconsider(range, {lease.span.begin, end - lease.span.begin});
}

void Leases::end(LeaseId id) noexcept {
  std::unique_ptr<Lease> lease;
  {
    MutexLock lock(mutex_);
    const auto found = leases_.find(id.value);
    if (found == leases_.end()) return;
    lease = std::move(found->second);
    leases_.erase(found);
  }
  release_blocks(*lease);
}

}  // namespace sluice::engine
