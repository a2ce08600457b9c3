// Leases: DMA, MPI and file I/O need bytes to stay put; page tables do not stop a network card.
//
// A lease brings the bytes to where they are wanted and counts itself on each block. Everything that would move a block looks at
// that count under its claim: evictions and prefetches pass by, launches reach the bytes in place or are refused, host accesses
// wait. Several leases on a block must agree on the location.
#include "engine/leases.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <thread>

#include "engine/engine.hpp"
#include "engine/relocations.hpp"

namespace sluice::engine {

Result<std::optional<plan::Means>> means_under_leases(const Block& block, int device,
                                                      Access access) {
  if (block.leases == 0) return std::optional<plan::Means>{};
  if (access == Access::write && block.mapped_rights(device) == Rights::read)
    return fail(ErrorCode::invalid_argument,
                "%#lx is mapped on device %d for reading; map it for writing first",
                block.begin.value, device);
  const bool shares = access == Access::read && block.writing_leases == 0;
  if (block.leased_at.is_host())
    return shares ? std::optional<plan::Means>{} : std::optional(plan::Means::reach);
  // Reaching the block in host memory would take the leased copy away.
  if (shares || block.leased_at == Location::device(device)) return std::optional(plan::Means::own);
  return fail(ErrorCode::busy, "%#lx is leased on device %d; device %d may not take it",
              block.begin.value, block.leased_at.number(), device);
}

namespace {

bool is_away(Block& block) {
  const MutexLock lock(block.mutex);
  return block.away;
}

}  // namespace

tl::unexpected<Error> held_by_leases(const Block& block, const char* refused) {
  if (!block.is_mapped())
    return fail(ErrorCode::busy, "%#lx is leased; end the lease before %s", block.begin.value,
                refused);
  return fail(ErrorCode::busy, "%#lx is mapped on device %d; unmap it before %s", block.begin.value,
              std::countr_zero(block.mapped_to_read | block.mapped_to_write), refused);
}

Result<LeaseId> Engine::lease(AddressSpan span, Location location, Access access) {
  SLUICE_TRY(alive());
  SLUICE_TRY(known_location(location));
  SLUICE_ASSIGN(range, ranges_.find_whole(span));
  const bool stays =
      range->kind == Kind::host ? location.is_host() : location == Location::device(range->device);
  if (range->kind != Kind::shared && !stays)
    return fail(ErrorCode::unsupported, "%#lx stays where it is; it cannot be leased elsewhere",
                span.begin.value);

  // Its entry first: what is counted on blocks afterwards can always be taken back, whatever fails, memory included.
  auto made = std::make_unique<Lease>(Lease{std::move(range), span, location, access});
  Lease* const lease = made.get();
  LeaseId id;
  {
    MutexLock lock(lease_mutex_);
    id.value = ++last_lease_;
    leases_.emplace(id.value, std::move(made));
  }
  struct Undo {
    Engine* engine;
    LeaseId lease;
    ~Undo() {
      if (engine != nullptr) engine->end_lease(lease);
    }
  } undo{this, id};
  Range& leased = *lease->range;
  for (std::size_t i = leased.index_of(span.begin); i <= leased.index_of(span.end() - 1); ++i) {
    SLUICE_TRY(tell(lease_block(leased, leased.blocks[i], *lease)));
    lease->held_to = std::min(leased.blocks[i].begin + block_size, span.end());
  }
  undo.engine = nullptr;
  return id;
}

// What one attempt on a block met. Nothing of all this: it has moved away.
struct Engine::LeaseTry {
  bool done = false;
  std::optional<ActiveUse> obstacle;
  bool contended = false;   // others are busy with what could be evicted
  std::size_t lacking = 0;  // bytes for which there is no room
};

Result<void> Engine::lease_block(Range& range, Block& block, const Lease& lease) {
  std::optional<device::Clock::time_point> patience;
  for (int losses = 0;;) {
    // What moved away comes home first. A kernel may have to end for that, so not under the claim.
    if (is_away(block)) {
      MappingReport report;
      SLUICE_TRY(relocations_->relocate(block.span(), lease.location, report));
    }
    const Result<LeaseTry> tried = try_lease(range, block, lease);
    if (!tried) {
      SLUICE_TRY(outlive(tried.error(), lease.location, losses));
    } else if (tried->contended) {
      // Not with the claim: who is busy there may be waiting for it.
      std::this_thread::sleep_for(Room::moment);
    } else if (tried->obstacle) {
      (void)timelines_.wait(tried->obstacle->fence, {});
    } else if (tried->lacking != 0) {
      if (!patience) patience = relocations_->patience();
      const Result<void> made =
          relocations_->make_room(lease.location.number(), tried->lacking, *patience);
      if (!made)
        return fail(ErrorCode::out_of_device_memory,
                    "device %d has no room for the lease of %#lx: %s", lease.location.number(),
                    block.begin.value, std::string(made.error().detail()).c_str());
    } else if (tried->done) {
      return {};
    }
  }
}

Result<Engine::LeaseTry> Engine::try_lease(Range& range, Block& block, const Lease& lease) {
  LeaseTry tried;
  const Claim claim(block.claim);
  if (block.away) return tried;
  if (block.leases != 0 && block.leased_at != lease.location)
    return fail(ErrorCode::busy, "%#lx is leased elsewhere already", block.begin.value);
  const PageMask named = block.pages_in(lease.span);
  if (const PageMask lost = named & block.directory.lost(); !lost.empty())
    return fail(ErrorCode::data_lost, "bytes at %#lx existed only on a device that was lost",
                block.hull_of(lost).begin.value);
  if (lease.location.is_device() && range.kind == Kind::shared) {
    const Wanting wanting{&range, &block};
    SLUICE_ASSIGN(provided, room_->provide(lease.location.number(), {&wanting, 1}));
    if (provided.count == 0) {
      tried.contended = provided.contended;
      tried.obstacle = provided.obstacle;
      tried.lacking = room_->piece_size(lease.location.number(), block);
      return tried;
    }
  }
  const PageMask pages = widen(block, named, range.host_pages) - block.directory.lost();
  SLUICE_ASSIGN(in_the_way, bring(range, block, {lease.location, pages, lease.access}));
  tried.obstacle = in_the_way;
  if (tried.obstacle) return tried;
  MutexLock lock(block.mutex);
  ++block.leases;
  if (lease.access == Access::write) ++block.writing_leases;
  block.leased_at = lease.location;
  tried.done = true;
  return tried;
}

void Engine::release_blocks(const Lease& lease) noexcept {
  Range& range = *lease.range;
  const Address end = lease.held_to;
  if (end <= lease.span.begin) return;
  for (std::size_t i = range.index_of(lease.span.begin); i <= range.index_of(end - 1); ++i) {
    Block& block = range.blocks[i];
    {
      const Claim claim(block.claim);
      MutexLock lock(block.mutex);
      --block.leases;
      if (lease.access == Access::write) --block.writing_leases;
    }
    if (range.kind == Kind::shared) source_->wake(block.span());
  }
  reconsider(range, {lease.span.begin, end - lease.span.begin});
}

// Several threads may pay the same; the second finds nothing to do. A range that was freed is owed nothing.
void Engine::pay_owed_rights() noexcept {
  if (!owed_.any()) return;
  std::uint64_t number = 0;
  while (const std::optional<Debt> debt = owed_.due_after(number, timelines_)) {
    try {
      pay(*debt);
      number = debt->number;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // there may be memory soon
    }
  }
}

void Engine::pay(const Debt& debt) {
  const Pin range = ranges_.find(debt.block, debt.range);
  std::optional<ActiveUse> obstacle;
  if (range) {
    Block& block = range->block_of(debt.block);
    const Claim claim(block.claim);
    if (block.leases != 0 && block.leased_at.is_host()) {
      const Access access = block.writing_leases != 0 ? Access::write : Access::read;
      obstacle =
          bring(*range, block, {Location::host(), debt.pages, access}).value_or(std::nullopt);
    }
  }
  if (obstacle)
    owed_.defer(debt, obstacle->fence);
  else
    owed_.settle(debt);
}

void Engine::end_lease(LeaseId id) noexcept {
  std::unique_ptr<Lease> lease;
  {
    MutexLock lock(lease_mutex_);
    const auto found = leases_.find(id.value);
    if (found == leases_.end()) return;
    lease = std::move(found->second);
    leases_.erase(found);
  }
  release_blocks(*lease);
}

}  // namespace sluice::engine
