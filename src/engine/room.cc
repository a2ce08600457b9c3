// Room: budgets, pieces and eviction.
//
// Making room looks at every block that the device holds, so its cost grows with what is resident, not with what is needed; it
// is paid only when memory is short, and once for a whole launch. Evictions of one call share their copies' wait. What it does
// not do: wait for kernels or for other threads. It says what was in the way, and the launch decides.
#include "engine/room.hpp"

#include <algorithm>
#include <map>

#include "engine/planted.hpp"

namespace sluice::engine {

Room::Room(const transfer::Devices& devices, std::vector<std::size_t> budgets, RangeTable& ranges,
           Gate& gate, Stages& stages, observe::Observer& observer,
           const plan::Abilities& abilities)
    : devices_(devices),
      budgets_(std::move(budgets)),
      charged_(std::make_unique<std::atomic<std::size_t>[]>(budgets_.size())),
      ranges_(ranges),
      gate_(gate),
      stages_(stages),
      observer_(observer),
      abilities_(abilities) {}

std::size_t Room::piece_size(int device, const Block& block) const noexcept {
  return round_up(block.span().size,
                  devices_[static_cast<std::size_t>(device)]->traits().mapping_granule);
}

Result<device::Piece> Room::take(int device, Address at, std::size_t size) {
  const auto index = static_cast<std::size_t>(device);
  std::size_t charged = charged_[index];
  do {
    if (charged + size > budgets_[index])
      return fail(ErrorCode::out_of_device_memory,
                  "device %d has %zu of %zu bytes in use; %zu more do not fit", device, charged,
                  budgets_[index], size);
  } while (!charged_[index].compare_exchange_weak(charged, charged + size));
  auto piece = devices_[index]->allocate_at(at, size);
  if (!piece) charged_[index] -= size;
  return piece;
}

void Room::give_back(int device, device::Piece piece) noexcept {
  if (piece.size == 0) return;
  devices_[static_cast<std::size_t>(device)]->release(piece);
  charged_[static_cast<std::size_t>(device)] -= piece.size;
}

void Room::release(Block& block, int device) noexcept {
  DevicePart* part = block.part(device);
  if (part == nullptr) return;
  // A device that cannot end its mapping is lost, and has none.
  if (part->old_mappings != 0) (void)stages_.end_old_mappings(block, *part);
  device::Piece piece;
  bool in_host = false;
  int owner = device;
  {
    MutexLock lock(block.mutex);
    owner = part->owner();
    part->lender = -1;
    piece = std::exchange(part->piece, {});
    in_host = std::exchange(part->in_host, false);
  }
  if (in_host)
    devices_[static_cast<std::size_t>(owner)]->release(piece);
  else
    give_back(owner, piece);
}

void Room::forget(DevicePart& part) noexcept {
  const std::size_t size = std::exchange(part.piece, {}).size;
  const auto owner = static_cast<std::size_t>(part.owner());
  part.lender = -1;
  if (!std::exchange(part.in_host, false)) charged_[owner] -= size;
}

Result<void> Room::overflow(int device, Block& block) {
  SLUICE_ASSIGN(piece, devices_[static_cast<std::size_t>(device)]->allocate_in_host(
                           piece_size(device, block)));
  block.admit(device);
  {
    MutexLock lock(block.mutex);
    DevicePart& part = *block.part(device);
    part.piece = piece;
    part.in_host = true;
  }
  observer_.record(EventKind::map_remote, block.span(), Location::host(), Location::device(device));
  return {};
}

Result<void> Room::end_overflow(int device, std::span<const Wanting> blocks) {
  std::size_t free = budget(device) - std::min(in_use(device), budget(device));
  std::vector<Wanting> leaving;
  for (const Wanting& wanting : blocks) {
    const DevicePart* part = wanting.block->part(device);
    const std::size_t size = piece_size(device, *wanting.block);
    if (part == nullptr || !part->in_host || size > free) continue;
    // A lease keeps it where it is.
    if (wanting.block->leases != 0) continue;
    if (gate_.take(*wanting.range, *wanting.block,
                   {.span = wanting.block->span(),
                    .access = Access::write,
                    .unmapped = std::uint64_t{1} << static_cast<unsigned>(device),
                    .mapping_only = true}))
      continue;
    leaving.push_back(wanting);
    free -= size;
  }
  return evict(device, leaving);
}

Result<void> Room::settle(int device, std::span<const Wanting> blocks) {
  std::vector<Settling> settling;
  std::vector<device::CopyCommand> copies;
  for (const Wanting& wanting : blocks) {
    Block& block = *wanting.block;
    const DevicePart* part = block.part(device);
    if (part == nullptr || part->lender < 0 || block.borrowed_uses < plan::settle_after) continue;
    if (gate_.take(*wanting.range, block,
                   {.span = block.span(),
                    .access = Access::write,
                    .unmapped = std::uint64_t{1} << static_cast<unsigned>(device),
                    .mapping_only = true}))
      continue;
    const auto piece = take(device, block.begin, piece_size(device, block));
    if (!piece) continue;
    settling.push_back({wanting, *piece});
    copies.push_back({{Location::device(part->lender), part->piece.handle, 0},
                      {Location::device(device), piece->handle, 0},
                      block.span().size});
  }
  Result<void> done = stages_.copy(copies);
  for (const Settling& settled : settling) {
    if (done) done = settle_block(device, settled);
    if (!done) give_back(device, settled.piece);
  }
  return done;
}

// The old piece goes; what the directory says of the bytes stays true.
Result<void> Room::settle_block(int device, const Settling& settled) {
  Block& block = *settled.wanting.block;
  Task task{settled.wanting.range, &block, {}};
  task.plan.add({.kind = plan::StepKind::unmap, .others = Location::device(device)});
  SLUICE_TRY(stages_.run({&task, 1}));
  release(block, device);
  const MutexLock lock(block.mutex);
  block.part(device)->piece = settled.piece;
  block.hand_overs = 0;
  return {};
}

bool Room::give_piece(int device, Block& block) {
  block.admit(device);
  DevicePart& part = *block.part(device);
  if (part.piece.size != 0) return true;
  auto piece = take(device, block.begin, piece_size(device, block));
  if (!piece) return false;
  MutexLock lock(block.mutex);
  part.piece = *piece;
  return true;
}

Result<Provided> Room::provide(int device, std::span<const Wanting> blocks, const void* claimant) {
  Provided provided;
  while (provided.count < blocks.size()) {
    if (devices_[static_cast<std::size_t>(device)]->lost())
      return fail(ErrorCode::device_lost, "device %d is lost", device);
    if (give_piece(device, *blocks[provided.count].block)) {
      ++provided.count;
      continue;
    }
    std::size_t need = 0;
    for (const Wanting& wanting : blocks.subspan(provided.count))
      need += piece_size(device, *wanting.block);
    auto freed = make_room(device, need, claimant, provided);
    if (!freed) return tl::unexpected<Error>(freed.error());
    if (*freed == 0) break;
  }
  return provided;
}

std::vector<Room::Leaving> Room::candidates(int device, std::vector<plan::Candidate>& order) {
  std::vector<Leaving> leaving;
  for (Pin& range : ranges_.all()) {
    if (range->kind != Kind::shared) continue;
    const std::uint64_t range_use = range->last_use.load(std::memory_order_relaxed);
    for (Block& block : range->blocks) {
      MutexLock lock(block.mutex);
      for (const DevicePart& part : block.parts) {
        if (part.owner() != device || part.piece.size == 0 || part.in_host) continue;
        order.push_back({leaving.size(), part.piece.size,
                         std::max(range_use, block.last_use.load(std::memory_order_relaxed))});
        leaving.push_back({Pin(*range), &block, part.device});
      }
    }
  }
  return leaving;
}

Claim Room::claim_leaving(int device, Leaving& leaving, const void* claimant, Provided& provided) {
  Block& block = *leaving.block;
  Claim claim = Claim::attempt(block.claim);
  if (!claim) {
    const bool ours =
        claimant != nullptr && block.claimant.load(std::memory_order_relaxed) == claimant;
    provided.contended = provided.contended || !ours;
    return {};
  }
  const int holder = leaving.holder;
  const DevicePart& part = *block.part(holder);
  const bool leased_here = block.leases != 0 && block.leased_at == Location::device(holder);
  if (part.owner() != device || part.piece.size == 0 || part.in_host ||
      (leased_here && !planted::is(planted::Bug::evict_leased)))
    return {};
  const auto obstacle = gate_.take(*leaving.range, block,
                                   {.span = block.span(),
                                    .access = Access::write,
                                    .unmapped = std::uint64_t{1} << static_cast<unsigned>(holder),
                                    .mapping_only = true});
  if (obstacle) {
    provided.obstacle = obstacle;
    return {};
  }
  return claim;
}

Result<std::size_t> Room::make_room(int device, std::size_t need, const void* claimant,
                                    Provided& provided) {
  std::vector<plan::Candidate> order;
  std::vector<Leaving> leaving = candidates(device, order);
  std::vector<Claim> claims;
  std::map<int, std::vector<Wanting>> victims;  // by holder
  std::size_t freed = 0;
  std::span<plan::Candidate> rest(order);
  while (freed < need && !rest.empty()) {
    std::span<plan::Candidate> chosen = plan::choose_victims(rest, need - freed);
    if (chosen.empty()) chosen = rest;  // all together are too few; take what can be had
    for (const plan::Candidate& candidate : chosen) {
      Claim claim = claim_leaving(device, leaving[candidate.index], claimant, provided);
      if (!claim) continue;
      claims.push_back(std::move(claim));
      const Leaving& victim = leaving[candidate.index];
      victims[victim.holder].push_back({victim.range.get(), victim.block});
      freed += candidate.size;
    }
    rest = rest.first(rest.size() - chosen.size());  // the chosen ones stand at the end
  }
  for (const auto& [holder, blocks] : victims) SLUICE_TRY(evict(holder, blocks));
  return freed;
}

Result<void> Room::evict(int device, std::span<const Wanting> blocks) {
  std::vector<Task> tasks;
  tasks.reserve(blocks.size());
  const std::uint64_t began = observer_.clock();
  for (const Wanting& leaving : blocks)
    tasks.push_back({leaving.range, leaving.block,
                     plan::evict(leaving.block->directory, device, Location::host(), abilities_)});
  const Result<void> done = stages_.run(tasks);
  for (const Task& task : tasks) {
    if (done) {
      observer_.count(observe::Counter::evicted_blocks);
      observer_.count(observe::Counter::bytes_evicted, task.plan.pages_moved() * page_size);
      observer_.record(EventKind::eviction, task.block->span(), Location::device(device),
                       Location::host(), began);
      release(*task.block, device);
    }
    gate_.refresh(*task.range, *task.block);
  }
  return done;
}

}  // namespace sluice::engine
