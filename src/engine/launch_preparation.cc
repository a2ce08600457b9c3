// Journey 2, slow path: makes the blocks of a launch ready.
//
// Claims are taken in the order of addresses, and given up before any wait for a kernel. There is
// one plan for each block; their copies run side by side. Cost: a plan for each block that is not
// ready, and the copies. What it does not do: let the launch in. The launch checks again, because
// blocks that were made ready may be gone by then.
#include "engine/launch_preparation.hpp"

#include <algorithm>
#include <utility>

#include "engine/lease_rules.hpp"

namespace sluice::engine {
namespace {

// Puts the targets in the order of addresses, each block once.
void put_in_order(std::vector<Target>& targets) {
  std::sort(targets.begin(), targets.end(),
            [](const Target& a, const Target& b) { return a.block->begin < b.block->begin; });
  const auto same = [](const Target& a, const Target& b) { return a.block == b.block; };
  targets.erase(std::unique(targets.begin(), targets.end(), same), targets.end());
}

// Leaves out lost pages that the launch does not name but that share a granule with named ones.
Result<void> leave_out_lost(const LaunchState& launch, Target& target) {
  target.block->claim.assert_held();
  const PageMask lost = target.pages() & target.block->state().directory.lost();
  if (lost.empty()) return {};
  PageMask named;
  for (const NamedUse& use : launch.uses)
    if (use.range.get() == target.range) named |= target.block->pages_in(use.span);
  if (const PageMask gone = named & lost; !gone.empty())
    return fail(ErrorCode::data_lost, "%u pages at %#lx existed only on a device that was lost",
                gone.count(), target.block->hull_of(gone).begin.value);
  target.to_read -= lost;
  target.to_write -= lost;
  return {};
}

// A block leased for reading on a device can be copied, but not moved to where others reach it.
bool is_leased_on_a_device(const Block& block) {
  block.claim.assert_held();
  return block.state().leases().any_on_a_device();
}

Error explain_lack(const Block& block, std::size_t lacking, std::size_t wanted,
                   const Error& shortage) {
  block.claim.assert_held();
  const std::string why(shortage.detail());
  if (is_leased_on_a_device(block))
    return {ErrorCode::out_of_device_memory, "no room for %#lx, which is leased on device %d: %s",
            block.begin.value, block.state().leases().location().number(), why.c_str()};
  return {ErrorCode::out_of_device_memory,
          "%zu of %zu blocks find no room, and nothing else there can be evicted: %s", lacking,
          wanted, why.c_str()};
}

}  // namespace

Result<void> LaunchPreparation::make_ready(LaunchState& launch) {
  launch.release_claims();
  find_targets(launch);
  // Nothing may be thrown between a claim and its record: the block would count as this launch's
  // for ever.
  launch.claims.reserve(launch.targets.size());
  launch.claimed.reserve(launch.targets.size());
  for (const Target& target : launch.targets) launch.claim(*target.block);
  SLUICE_TRY(choose_means(launch));
  SLUICE_ASSIGN(roomy, make_room(launch));
  return roomy ? bring_targets(launch) : Result<void>{};
}

void LaunchPreparation::find_targets(LaunchState& launch) {
  if (launch.request.writes_every_range() && launch.uses.size() == launch.named)
    for (Pin& range : parts_.ranges.all())
      if (range->kind == Kind::shared) {
        const AddressSpan whole = range->pages;
        launch.uses.push_back({std::move(range), whole, Access::write});
      }
  launch.targets.clear();
  const auto add = [&](const NamedUse& use, Block& block) {
    launch.targets.push_back(Target{.range = use.range.get(), .block = &block});
  };
  const auto add_unready = [&](const NamedUse& use) {
    parts_.readiness.for_each_unready(*use.range, use.span, launch.request.device, use.access,
                                      [&](Block& block) { add(use, block); });
  };
  // The first try covers just the blocks that are not ready. If that was not enough, the next
  // covers all, lest one block of the launch makes room for another.
  const bool is_first = launch.tries++ == 0;
  for (const NamedUse& use : launch.uses) {
    if (is_first || use.range->kind != Kind::shared) {
      add_unready(use);
      continue;
    }
    const std::size_t last = use.range->index_of(use.span.end() - 1);
    for (std::size_t i = use.range->index_of(use.span.begin); i <= last; ++i)
      add(use, use.range->blocks[i]);
  }
  put_in_order(launch.targets);
  // Covers all that the launch names of the block: pages that are there now may be taken away
  // before the launch has the block's claim.
  for (Target& target : launch.targets) {
    for (const NamedUse& use : launch.uses) {
      if (use.range.get() != target.range) continue;
      const PageMask pages = parts_.mover.widen(*target.block, target.block->pages_in(use.span),
                                                target.range->host_pages);
      (use.access == Access::write ? target.to_write : target.to_read) |= pages;
    }
    target.to_read -= target.to_write;
  }
}

Result<void> LaunchPreparation::choose_means(LaunchState& launch) {
  const int device = launch.request.device;
  const bool maps_host = parts_.devices[device].traits().maps_host_memory;
  for (Target& target : launch.targets) {
    target.block->claim.assert_held();
    SLUICE_TRY(leave_out_lost(launch, target));
    // It was mapped when the launch named it, and its mapping has ended since: with its device, or
    // by another thread.
    if (target.range->kind == Kind::device && target.range->device != device &&
        target.block->state().mapped().rights(device) == Rights::none)
      return fail(ErrorCode::unknown_address,
                  "%#lx is memory of device %d; the launch is on device %d",
                  target.block->begin.value, target.range->device, device);
    target.block->admit(device);
    target.means =
        target.range->kind == Kind::host || target.block->state().in_host_memory
            ? plan::Means::host_mapped
            : plan::choose_means(target.block->state().directory, device,
                                 target.range->advice_at(target.block->begin), maps_host);
    target.lasting = target.means == plan::Means::host_mapped;
    SLUICE_ASSIGN(demanded, means_under_leases(*target.block, device, target.access()));
    if (demanded && *demanded == plan::Means::host_mapped && !maps_host &&
        target.range->kind == Kind::shared)
      return fail(ErrorCode::busy,
                  "%#lx is leased at the host, where device %d does not reach shared ranges",
                  target.block->begin.value, device);
    if (demanded) target.means = *demanded;
    choose_lender(device, target);
  }
  return refuse_overflow(launch);
}

// Bytes that go back and forth between devices that reach each other's memory stay put after a
// while, and so do bytes that come home.
void LaunchPreparation::choose_lender(int device, Target& target) const {
  const Block& block = *target.block;
  block.claim.assert_held();
  const Location here = Location::device(device);
  const bool all = target.to_write.contains(block.every_page());
  if (target.range->kind != Kind::shared || target.means != plan::Means::own || !all ||
      block.state().leases().any() ||
      block.state().directory.holding(here).resident.contains(block.every_page()))
    return;
  target.from = plan::lender(block.state().directory, device);
  if (target.from < 0) return;
  const DevicePart& part = *block.state().part(target.from);
  const auto may = [this](int number) {
    const device::Device& member = parts_.devices[number];
    return member.traits().maps_peers && !member.traits().recoverable_faults && !member.lost();
  };
  if (part.in_host || !may(device) || !may(target.from) || !may(part.owner())) return;
  if (part.owner() == device || (block.borrows.suggests_borrowing() &&
                                 target.range->advice_at(block.begin).preferred != here))
    target.means = plan::Means::borrow;
}

// Returns false if something is in the way; the launch must then start again.
Result<bool> LaunchPreparation::make_room(LaunchState& launch) {
  const int device = launch.request.device;
  std::vector<AllocationRequest> wanted;
  // Room goes first to blocks that cannot be host-mapped.
  for (const bool leased : {true, false})
    for (const Target& target : launch.targets)
      if (target.means == plan::Means::own && is_leased_on_a_device(*target.block) == leased)
        wanted.push_back({target.range, target.block});
  SLUICE_TRY(parts_.residency.end_overflow(device, wanted));
  SLUICE_TRY(parts_.residency.settle(device, wanted));
  std::vector<AddressSpan> named;
  named.reserve(launch.uses.size());
  for (const NamedUse& use : launch.uses) named.push_back(use.span);
  if (!launch.reservation) launch.reservation.emplace(parts_.residency, parts_.timelines, device);
  SLUICE_ASSIGN(provision, launch.reservation->attempt(wanted, {&launch, std::move(named)}));
  if (provision.count == wanted.size()) return true;
  if (launch.reservation->can_wait(provision)) {
    launch.release_claims();
    (void)launch.reservation->wait(provision);
    return false;
  }
  const device::Traits& traits = parts_.devices[device].traits();
  const bool overflows =
      parts_.options.overflow != Overflow::refuse &&
      (traits.maps_host_memory || parts_.devices[device].host_overflow() != nullptr);
  std::vector<AllocationRequest> lacking(
      wanted.begin() + static_cast<std::ptrdiff_t>(provision.count), wanted.end());
  if (overflows)
    std::erase_if(
        lacking, [](const AllocationRequest& each) { return !is_leased_on_a_device(*each.block); });
  if (!lacking.empty()) {
    const Error refusal = explain_lack(*lacking.front().block, lacking.size(), wanted.size(),
                                       parts_.residency.shortage(device, provision));
    // This is the last resort before a refusal. It is not for blocks that can be
    // host-mapped: those never block a launch.
    std::size_t need = 0;
    for (const AllocationRequest& each : lacking)
      need += parts_.residency.allocation_size(device, *each.block);
    launch.release_claims();
    if (launch.reservation->relocate(parts_.relocations, need)) return false;
    return tl::unexpected<Error>(refusal);
  }
  for (Target& target : launch.targets) {
    target.block->claim.assert_held();
    if (target.means == plan::Means::borrow ||
        target.block->state().part(device)->allocation.size != 0)
      continue;
    if (traits.maps_host_memory)
      target.means = plan::Means::host_mapped;
    else
      SLUICE_TRY(parts_.residency.overflow(device, *target.block));
  }
  return true;
}

// One plan for the pages to read and one for those to write, so that a part that is only read stays
// valid elsewhere.
std::optional<ActiveUse> LaunchPreparation::plan_target(int device, const Target& target,
                                                        std::vector<Task>& tasks) {
  const bool whole = target.means != plan::Means::own;
  const auto add = [&](const PageMask& pages, Access access) -> std::optional<ActiveUse> {
    if (pages.empty()) return std::nullopt;
    target.block->claim.assert_held();
    const plan::Request request{Location::device(device), pages, access, target.means,
                                target.to_read};
    plan::Plan plan = plan::acquire(target.block->state().directory, request, parts_.abilities);
    if (plan.empty()) return std::nullopt;
    tasks.push_back({target.range, target.block, plan});
    // Other devices on which the block is host-mapped keep their mappings and rights.
    if (takes_from_host_alone(plan)) return std::nullopt;
    return parts_.readiness.take(*target.range, *target.block,
                                 parts_.mover.revoke_request_for(request, tasks.back()));
  };
  if (whole) return add(target.pages(), target.access());
  if (const auto obstacle = add(target.to_read, Access::read)) return obstacle;
  return add(target.to_write, Access::write);
}

Result<void> LaunchPreparation::bring_targets(LaunchState& launch) {
  const int device = launch.request.device;
  std::vector<Task> tasks;
  tasks.reserve(2 * launch.targets.size());
  for (const Target& target : launch.targets) {
    target.block->claim.assert_held();
    launch.obstacle = plan_target(device, target, tasks);
    if (launch.obstacle) break;
    if (target.means == plan::Means::host_mapped && target.range->kind == Kind::shared &&
        target.block->state().leases().any() && parts_.source.grade() != Grade::full)
      launch.owed.push_back({target.block->begin, target.range->number, target.pages(), {}, 0});
  }
  for (Task& task : tasks) task.trigger = {Cause::launch, launch.link};
  const Result<void> done = launch.obstacle ? Result<void>{} : parts_.stages.run(tasks);
  for (const Target& target : launch.targets) {
    target.block->claim.assert_held();
    if (done && !launch.obstacle && target.means == plan::Means::host_mapped) {
      // The allocation of the owner of a device range was made ready for bytes that come home.
      if (target.range->kind == Kind::shared) parts_.residency.release(*target.block, device);
      const MutexLock lock(target.block->mutex);
      target.block->change().part(device)->host_mapping_lasts = target.lasting;
    }
    if (done && !launch.obstacle) note_ownership_transfer(device, target);
    parts_.readiness.refresh(*target.range, *target.block);
  }
  return done;
}

void LaunchPreparation::note_ownership_transfer(int device, const Target& target) {
  Block& block = *target.block;
  block.claim.assert_held();
  // Release the borrower's own allocation.
  if (target.means == plan::Means::borrow) parts_.residency.release(block, target.from);
  if (target.from >= 0) block.borrows.note_ownership_transfer();
  block.borrows.note_use(target.from < 0 && block.state().part(device)->lender >= 0);
}

// With Overflow::refuse, a launch that could never fit is refused before anything moves.
Result<void> LaunchPreparation::refuse_overflow(const LaunchState& launch) const {
  if (parts_.options.overflow != Overflow::refuse) return {};
  const int device = launch.request.device;
  std::size_t needed = 0;
  for (const Target& target : launch.targets) {
    target.block->claim.assert_held();
    if (target.means == plan::Means::own &&
        target.block->state().part(device)->allocation.size == 0)
      needed += parts_.residency.allocation_size(device, *target.block);
  }
  std::size_t held = 0;
  for (const NamedUse& use : launch.uses)
    for (std::size_t i = use.range->index_of(use.span.begin);
         i <= use.range->index_of(use.span.end() - 1); ++i) {
      Block& block = use.range->blocks[i];
      MutexLock lock(block.mutex);
      if (const DevicePart* part = block.locked_state().part(device); part != nullptr)
        held += part->allocation.size;
    }
  if (needed == 0 || held + needed <= parts_.residency.budget(device)) return {};
  return fail(ErrorCode::out_of_device_memory,
              "device %d: the launch needs %zu bytes at once; the budget is %zu", device,
              held + needed, parts_.residency.budget(device));
}

}  // namespace sluice::engine
