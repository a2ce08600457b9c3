// ResidencyManager: budgets, allocations and eviction.
//
// Making room looks at every block that the device holds or lately did, so its cost grows with the
// memory in use there, not with the request; it is paid only when memory is short, and once for a
// whole launch. Evictions of one call share one wait for their copies. What it does not do: wait
// for kernels or for other threads. It reports the obstacle, and the launch decides.
#include "engine/residency_manager.hpp"

#include <algorithm>
#include <map>

#include "device/host_overflow.hpp"
#include "device/placed_memory.hpp"

namespace sluice::engine {

ResidencyManager::ResidencyManager(const transfer::Devices& devices,
                                   const ByDevice<std::size_t>& budgets, RangeTable& ranges,
                                   ReadinessTracker& readiness, Stages& stages,
                                   observe::Observer& observer, const plan::Abilities& abilities,
                                   const std::atomic<std::uint64_t>& launches)
    : devices_(devices),
      budgets_(budgets),
      ranges_(ranges),
      readiness_(readiness),
      stages_(stages),
      observer_(observer),
      abilities_(abilities),
      launches_(launches) {}

std::size_t ResidencyManager::allocation_size(int device, const Block& block) const noexcept {
  return round_up(block.span().size, devices_[device].traits().mapping_granule);
}

Result<device::Allocation> ResidencyManager::take(int device, Address at, std::size_t size) {
  std::size_t charged = charged_[device];
  do {
    if (charged + size > budgets_[device])
      return fail(ErrorCode::out_of_device_memory,
                  "device %d has %zu of %zu bytes in use; %zu more do not fit", device, charged,
                  budgets_[device], size);
  } while (!charged_[device].compare_exchange_weak(charged, charged + size));
  device::PlacedMemory* const placed = devices_[device].placed_memory();
  auto allocation =
      placed != nullptr ? placed->allocate_at(at, size) : devices_[device].allocate_for(at, size);
  if (!allocation) charged_[device] -= size;
  return allocation;
}

void ResidencyManager::give_back(int device, device::Allocation allocation) noexcept {
  if (allocation.size == 0) return;
  devices_[device].release(allocation);
  charged_[device] -= allocation.size;
}

void ResidencyManager::release(Block& block, int device) noexcept {
  const DevicePart* const part = block.state().part(device);
  if (part == nullptr) return;
  // A device that cannot end its mapping is lost, and has none.
  if (!part->old_mappings.empty()) (void)stages_.end_old_mappings(block, device);
  const int owner = part->owner();
  const Change change(changes_[owner]);
  device::Allocation allocation;
  bool in_host = false;
  {
    const MutexLock lock(block.mutex);
    DevicePart& changed = *block.change().part(device);
    changed.lender = -1;
    allocation = std::exchange(changed.allocation, {});
    in_host = std::exchange(changed.in_host, false);
  }
  if (in_host)
    devices_[owner].release(allocation);
  else
    give_back(owner, allocation);
}

void ResidencyManager::forget(DevicePart& part) noexcept {
  const int owner = part.owner();
  const Change change(changes_[owner]);
  const std::size_t size = std::exchange(part.allocation, {}).size;
  part.lender = -1;
  if (!std::exchange(part.in_host, false)) charged_[owner] -= size;
}

Result<void> ResidencyManager::overflow(int device, Block& block) {
  device::HostOverflow* const host = devices_[device].host_overflow();
  if (host == nullptr)
    return fail(ErrorCode::unsupported, "device %d has no memory on the host", device);
  SLUICE_ASSIGN(allocation, host->allocate_in_host(allocation_size(device, block)));
  block.admit(device);
  {
    const MutexLock lock(block.mutex);
    DevicePart& part = *block.change().part(device);
    part.allocation = allocation;
    part.in_host = true;
  }
  observer_.record(EventKind::map_remote, block.span(), Location::host(), Location::device(device));
  return {};
}

std::optional<ActiveUse> ResidencyManager::find_user(Range& range, Block& block, int device) {
  return readiness_.take(range, block,
                         {.span = block.span(),
                          .access = Access::write,
                          .unmapped = DeviceSet(device),
                          .mapping_only = true});
}

Result<void> ResidencyManager::end_overflow(int device, std::span<const AllocationRequest> blocks) {
  std::size_t free = budget(device) - std::min(in_use(device), budget(device));
  std::vector<AllocationRequest> leaving;
  for (const AllocationRequest& request : blocks) {
    Block& block = *request.block;
    block.claim.assert_held();
    const DevicePart* part = block.state().part(device);
    const std::size_t size = allocation_size(device, block);
    if (part == nullptr || !part->in_host || size > free) continue;
    // A lease keeps it where it is.
    if (block.state().leases().any()) continue;
    if (find_user(*request.range, block, device)) continue;
    leaving.push_back(request);
    free -= size;
  }
  return evict(device, leaving);
}

Result<void> ResidencyManager::settle(int device, std::span<const AllocationRequest> blocks) {
  std::vector<Settlement> settling;
  std::vector<device::CopyCommand> copies;
  std::optional<Change> change;  // until all are the blocks' own
  for (const AllocationRequest& request : blocks) {
    Block& block = *request.block;
    block.claim.assert_held();
    const DevicePart* part = block.state().part(device);
    if (part == nullptr || part->lender < 0 || !block.borrows.suggests_settling()) continue;
    if (find_user(*request.range, block, device)) continue;
    if (!change) {
      change.emplace(changes_[device]);
      settling.reserve(blocks.size());  // nothing may be thrown while an allocation is in no list
      copies.reserve(blocks.size());
    }
    const auto allocation = take(device, block.begin, allocation_size(device, block));
    if (!allocation) continue;
    settling.push_back({request, *allocation});
    copies.push_back({{Location::device(part->lender), part->allocation.handle, 0},
                      {Location::device(device), allocation->handle, 0},
                      block.span().size});
  }
  Result<void> done = stages_.copy(copies);
  for (const Settlement& settled : settling) {
    if (done) done = settle_block(device, settled);
    if (!done) give_back(device, settled.allocation);
  }
  return done;
}

// The old allocation is released; the directory's record of the bytes stays true.
Result<void> ResidencyManager::settle_block(int device, const Settlement& settled) {
  Block& block = *settled.request.block;
  block.claim.assert_held();
  Task task{settled.request.range, &block, {}};
  task.plan.add({.kind = plan::StepKind::unmap, .others = Location::device(device)});
  SLUICE_TRY(stages_.run({&task, 1}));
  release(block, device);
  const MutexLock lock(block.mutex);
  block.change().part(device)->allocation = settled.allocation;
  block.borrows.note_settled();
  return {};
}

bool ResidencyManager::give_allocation(int device, Block& block, Provision& provision,
                                       std::uint64_t& own) {
  provision.refusal.reset();
  block.admit(device);
  if (block.state().part(device)->allocation.size != 0) return true;
  const std::size_t size = allocation_size(device, block);
  // Callers that find it full begin no change, so they never appear as contention.
  if (in_use(device) + size > budget(device)) return false;
  const Change change(changes_[device]);
  ++own;
  auto allocation = take(device, block.begin, size);
  if (!allocation) {
    provision.refusal = allocation.error();
    return false;
  }
  const MutexLock lock(block.mutex);
  block.change().part(device)->allocation = *allocation;
  return true;
}

Error ResidencyManager::shortage(int device, const Provision& provision) const noexcept {
  return provision.refusal.value_or(Error(ErrorCode::out_of_device_memory,
                                          "device %d: its budget of %zu bytes is full", device,
                                          budget(device)));
}

Result<Provision> ResidencyManager::provide(int device, std::span<const AllocationRequest> blocks,
                                            RoomRequest room_request) {
  std::ranges::sort(room_request.named, {}, &AddressSpan::begin);
  Provision provision;
  const Changes& changes = changes_[device];
  while (provision.count < blocks.size()) {
    const std::uint64_t ended = changes.ended;
    std::uint64_t own = 0;
    if (devices_[device].lost()) return fail(ErrorCode::device_lost, "device %d is lost", device);
    Block& next = *blocks[provision.count].block;
    next.claim.assert_held();
    if (give_allocation(device, next, provision, own)) {
      ++provision.count;
      continue;
    }
    if (reclaim_ && reclaim_()) continue;
    std::size_t need = 0;
    for (const AllocationRequest& request : blocks.subspan(provision.count))
      need += allocation_size(device, *request.block);
    auto freed = make_room(device, need, room_request, provision);
    if (!freed) return tl::unexpected<Error>(freed.error());
    if (*freed != 0) continue;
    provision.contended = provision.contended || changes.begun != ended + own;
    break;
  }
  return provision;
}

plan::EvictionOrder ResidencyManager::order(int device) const {
  const OrderRecord& record = orders_[device];
  MutexLock lock(record.mutex);
  return record.order;
}

void ResidencyManager::survey(int device, const RoomRequest& room_request, Survey& all) const {
  for (const Pin& range : all.ranges) {
    if (range->kind != Kind::shared) continue;
    const auto at = [&](Address address) {
      return std::ranges::lower_bound(room_request.named, address, {}, &AddressSpan::begin);
    };
    const std::span<const AddressSpan> named(at(range->pages.begin), at(range->pages.end()));
    const plan::Usage whole = range->stamps.read();
    for (Block& block : range->blocks) {
      const MutexLock lock(block.mutex);
      const BlockState& state = block.locked_state();
      const DevicePart* part = state.part(device);
      if (part == nullptr) continue;
      // Finds the holder of its memory there: the device, or its borrower.
      const auto holder = std::ranges::find_if(state.parts, [device](const DevicePart& each) {
        return each.owner() == device && each.allocation.size != 0 && !each.in_host;
      });
      const bool resident = holder != state.parts.end();
      if (!resident && part->ghost_lists == 0) continue;
      plan::Usage usage = together(whole, block.stamps.read());
      const std::uint64_t prefetched = block.signs.prefetched();
      if (prefetched != 0 && prefetched >= usage.last) usage = plan::awaited(prefetched);
      all.blocks.push_back({all.standing.size(), allocation_size(device, block), usage, resident,
                            part->ghost_lists});
      const bool is_named = std::ranges::any_of(
          named, [&](const AddressSpan& span) { return block.span().overlaps(span); });
      all.standing.push_back(
          {range.get(), &block, resident ? holder->device : device, part->ghost_lists, is_named});
    }
  }
}

// Updates the device's ghost lists. Of the surveyed blocks those that are on the device are left.
plan::EvictionOrder ResidencyManager::look(int device, const RoomRequest& room_request,
                                           Survey& all) {
  all.ranges = ranges_.all();
  OrderRecord& record = orders_[device];
  MutexLock lock(record.mutex);
  const std::uint64_t now = launches_.load(std::memory_order_relaxed);
  survey(device, room_request, all);
  std::size_t there = 0;
  for (const plan::Evictable& each : all.blocks) there += each.resident ? each.size : 0;
  // Memory that cannot be evicted is not available to the ghost lists.
  const std::size_t others = in_use(device) - std::min(in_use(device), there);
  record.order.look(all.blocks, budget(device) - std::min(budget(device), others), now);
  for (const plan::Evictable& each : all.blocks) {
    const EvictionCandidate& standing = all.standing[each.index];
    if (each.ghost_lists == standing.ghost_lists) continue;
    MutexLock block_lock(standing.block->mutex);
    standing.block->set_ghost_lists(device, each.ghost_lists);
  }
  std::erase_if(all.blocks, [](const plan::Evictable& each) { return !each.resident; });
  return record.order;
}

Claim ResidencyManager::claim_leaving(int device, const EvictionCandidate& leaving,
                                      const RoomRequest& room_request, Provision& provision) {
  Block& block = *leaving.block;
  Claim claim = Claim::attempt(block.claim);
  while (!claim) {
    if (block.claimant.is(room_request.claimant)) return {};
    provision.contended = true;
    if (block.claim.want()) return {};
    claim = Claim::attempt(block.claim);
  }
  block.claim.assert_held();
  const int holder = leaving.holder;
  const DevicePart& part = *block.state().part(holder);
  if (part.owner() != device || part.allocation.size == 0 || part.in_host) {
    provision.contended = true;  // it has just left
    return {};
  }
  if (block.state().leases().any_at(Location::device(holder))) return {};
  if (const auto obstacle = find_user(*leaving.range, block, holder)) {
    provision.obstacle = obstacle;
    return {};
  }
  return claim;
}

Result<std::size_t> ResidencyManager::make_room(int device, std::size_t need,
                                                const RoomRequest& room_request,
                                                Provision& provision) {
  Survey all;
  const plan::EvictionOrder order = look(device, room_request, all);
  std::vector<Claim> claims;
  std::map<int, std::vector<AllocationRequest>> victims;  // by holder
  std::size_t freed = 0;
  const auto leave = [&](std::span<plan::Evictable> rest) {
    while (freed < need && !rest.empty()) {
      std::span<plan::Evictable> chosen = order.choose(rest, need - freed);
      if (chosen.empty()) chosen = rest;  // all together are too few; take what can be had
      for (const plan::Evictable& each : chosen) {
        const EvictionCandidate& leaving = all.standing[each.index];
        Claim claim = claim_leaving(device, leaving, room_request, provision);
        if (!claim) continue;
        claims.push_back(std::move(claim));
        victims[leaving.holder].push_back({leaving.range, leaving.block});
        freed += each.size;
      }
      rest = rest.first(rest.size() - chosen.size());  // the chosen ones stand at the end
    }
  };
  const auto named =
      std::partition(all.blocks.begin(), all.blocks.end(),
                     [&](const plan::Evictable& each) { return !all.standing[each.index].named; });
  leave({all.blocks.begin(), named});
  leave({named, all.blocks.end()});
  for (const auto& [holder, blocks] : victims) SLUICE_TRY(evict(holder, blocks));
  return freed;
}

Result<void> ResidencyManager::evict(int device, std::span<const AllocationRequest> blocks) {
  std::vector<Task> tasks;
  tasks.reserve(blocks.size());
  const std::uint64_t began = observer_.clock();
  for (const AllocationRequest& leaving : blocks)
    tasks.push_back({leaving.range,
                     leaving.block,
                     plan::evict(leaving.state().directory, device, Location::host(), abilities_),
                     {.cause = Cause::eviction}});
  const Result<void> done = stages_.run(tasks);
  for (const Task& task : tasks) {
    task.block->claim.assert_held();
    if (done) {
      observer_.count(observe::Counter::evicted_blocks);
      observer_.count(observe::Counter::bytes_evicted, task.plan.pages_moved() * page_size);
      observer_.record(EventKind::eviction, task.block->span(), Location::device(device),
                       Location::host(), began, 0, {.cause = Cause::eviction});
      release(*task.block, device);
    }
    readiness_.refresh(*task.range, *task.block);
  }
  return done;
}

}  // namespace sluice::engine
