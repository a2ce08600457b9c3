// ReadinessTracker: counts readiness.
//
// A launch that names whole ranges costs one comparison per range here; one that names a part costs
// one bit per block, and the directory is asked only for blocks at the part's ends. What it does
// not do: order launches of one queue (the queue does).
#include "engine/readiness_tracker.hpp"

#include <algorithm>
#include <iterator>

namespace sluice::engine {
namespace {

// Every launch looks again at bytes that are used in memory of others: there may be room now, or
// they may be worth moving.
bool is_for_now(const BlockState& state, const DevicePart& part) {
  const bool host_mapped = state.directory.mapping(part.device) == directory::Mapping::host;
  return (part.in_host || part.lender >= 0 || (host_mapped && !part.host_mapping_lasts)) &&
         state.mapped().rights(part.device) == Rights::none;
}

// A block of which only some pages are named: the device must have those, in a mapping that allows
// the access. No plan may be under way on the block, or the directory's answer is about to change.
bool part_is_ready(Block& block, const PageMask& pages, int device, Access access) {
  const MutexLock lock(block.mutex);
  const BlockState& state = block.locked_state();
  if (block.claim.is_held() || !allows(state.directory.mapped(device), access)) return false;
  const DevicePart* const part = state.part(device);
  const bool own = state.directory.mapping(device) == directory::Mapping::own;
  if (!own && (part == nullptr || is_for_now(state, *part))) return false;
  return plan::ready(state.directory, device, pages, access);
}

}  // namespace

bool takes_from_host_alone(const plan::Plan& plan) noexcept {
  return std::ranges::all_of(plan.steps(), [](const plan::Step& step) {
    const bool takes =
        step.kind == plan::StepKind::revoke || step.kind == plan::StepKind::downgrade;
    return takes && step.others == LocationSet(Location::host());
  });
}

DeviceSet unmapped_by(const plan::Plan& plan) noexcept {
  DeviceSet devices;
  for (const plan::Step& step : plan.steps())
    if (step.kind == plan::StepKind::unmap)
      devices |= DeviceSet(step.others);
    else if (step.kind == plan::StepKind::borrow)
      devices.insert(step.from.number());
  return devices;
}

AddressSpan overwritten_by(const plan::Plan& plan, const Block& block) noexcept {
  PageMask pages;
  for (const plan::Step& step : plan.steps()) {
    const bool writes = step.kind == plan::StepKind::copy || step.kind == plan::StepKind::fill;
    if (writes && step.to.is_device()) pages |= step.pages;
  }
  return block.hull_of(pages);
}

// To map host memory, or to borrow, makes all others give up the whole block.
RevokeRequest revoke_request_for(const plan::Request& request, const plan::Plan& plan,
                                 const Block& block, const plan::Abilities& abilities) noexcept {
  const bool whole = request.means != plan::Means::own;
  const bool shares = request.access == Access::read && !whole &&
                      (request.to.is_device() || abilities.host_can_share);
  return {.span = whole ? block.span() : block.hull_of(request.pages),
          .access = shares ? Access::read : Access::write,
          .by_device = request.to.is_device() ? request.to.number() : -1,
          .unmapped = unmapped_by(plan),
          .overwritten = overwritten_by(plan, block)};
}

bool ReadinessTracker::is_ready(Block& block, AddressSpan span, int device, Access access,
                                const void* claimant) {
  const BlockReadiness& readiness = block.readiness;
  if ((access == Access::read ? readiness.to_read_ : readiness.to_write_).contains(device))
    return true;
  if (block.claimant.is(claimant)) return true;
  const PageMask pages = block.pages_in(span);
  return pages != block.every_page() && part_is_ready(block, pages, device, access);
}

bool ReadinessTracker::every_range_is_ready(int device) const {
  return unready_ranges_[device] == 0;
}

void ReadinessTracker::reserve(std::size_t uses) {
  every_.reserve(uses);
  latest_.reserve(uses);
}

void ReadinessTracker::add_use(Range& range, const ActiveUse& use) {
  range.readiness.uses_.add(use, timelines_);
}

void ReadinessTracker::add_launch(const ActiveUse& use) {
  ActiveUse numbered = use;
  numbered.launch = ++launches_;
  if (use.span == everywhere) every_.add(numbered, timelines_);
  latest_.add({everywhere, use.fence, true, use.recoverable}, timelines_);
}

std::vector<ActiveUse> ReadinessTracker::uses_by(const Range& range, device::Fence launch) const {
  const MutexLock lock(mutex_);
  std::vector<ActiveUse> found;
  std::ranges::copy_if(range.readiness.uses_.uses(), std::back_inserter(found),
                       [&](const ActiveUse& use) { return use.fence == launch; });
  return found;
}

void ReadinessTracker::note_use(Range& range, const ActiveUse& use) {
  const MutexLock lock(mutex_);
  reserve(range, 1);
  add_use(range, use);
}

std::vector<ActiveUse> ReadinessTracker::latest_launches() const {
  const MutexLock lock(mutex_);
  return latest_.uses();
}

std::optional<ActiveUse> ReadinessTracker::pending_launch() const {
  const MutexLock lock(mutex_);
  for (const ActiveUse& use : latest_.uses())
    if (timelines_.is_pending(use.fence)) return use;
  return std::nullopt;
}

void ReadinessTracker::await_entry() const { const MutexLock lock(mutex_); }

std::optional<ActiveUse> ReadinessTracker::take(Range& range, Block& block,
                                                const RevokeRequest& revoke) {
  MutexLock lock(mutex_);
  std::optional<ActiveUse> obstacle;
  const auto keep = [&](const ActiveUse& use) {
    if (!timelines_.is_pending(use.fence)) return false;
    obstacle = use;
    return true;
  };
  if (!revoke.unmapped.empty())
    find_use(range, block.span(), Interest::users, [&](const ActiveUse& use) {
      return revoke.unmapped.contains(use.fence.device) && keep(use);
    });
  if (!obstacle && revoke.overwritten.size != 0)
    find_use(range, revoke.overwritten, Interest::users, [&](const ActiveUse& use) {
      return use.fence.device == revoke.by_device && keep(use);
    });
  if (!obstacle && revoke.for_good) find_use(range, revoke.span, Interest::all, keep);
  if (!obstacle && !revoke.for_good && !revoke.mapping_only)
    find_use(range, revoke.span, Interest::writers, [&](const ActiveUse& use) {
      return use.fence.device != revoke.by_device && keep(use);
    });
  // A kernel that reads a copy of its own continues with it. One that reads host memory would see
  // the host's next store.
  const DeviceSet beside = revoke.by_device < 0 && revoke.access == Access::write
                               ? DeviceSet(block.state().directory.host_mapped())
                               : DeviceSet();
  if (!obstacle && !revoke.mapping_only && !beside.empty())
    find_use(range, revoke.span, Interest::users,
             [&](const ActiveUse& use) { return beside.contains(use.fence.device) && keep(use); });
  if (!obstacle)
    set_ready(
        range, block,
        revoke.access == Access::read ? block.readiness.to_read_ - revoke.unmapped : DeviceSet(),
        {});
  return obstacle;
}

bool ReadinessTracker::withdraw(Range& range, Block& block) {
  MutexLock lock(mutex_);
  // To ask for a fence ends its section, at once or soon.
  const bool is_open = find_use(range, block.span(), Interest::all, [&](const ActiveUse& use) {
    return timelines_.is_pending(use.fence) && timelines_.is_open(use.fence);
  });
  if (!is_open) set_ready(range, block, {}, {});
  return !is_open;
}

void ReadinessTracker::refresh(Range& range, Block& block) {
  MutexLock lock(mutex_);
  DeviceSet to_read;
  DeviceSet to_write;
  {
    const MutexLock block_lock(block.mutex);
    const BlockState& state = block.locked_state();
    for (const DevicePart& part : state.parts) {
      if (is_for_now(state, part)) continue;
      if (plan::ready(state.directory, part.device, Access::read)) to_read.insert(part.device);
      if (plan::ready(state.directory, part.device, Access::write)) to_write.insert(part.device);
    }
  }
  set_ready(range, block, to_read, to_write);
}

void ReadinessTracker::set_ready(Range& range, Block& block, DeviceSet to_read,
                                 DeviceSet to_write) {
  BlockReadiness& now = block.readiness;
  for (DeviceSet rest = now.to_read_ ^ to_read; !rest.empty(); rest.erase(rest.first()))
    count(range, rest.first(), true, to_read.contains(rest.first()));
  for (DeviceSet rest = now.to_write_ ^ to_write; !rest.empty(); rest.erase(rest.first()))
    count(range, rest.first(), false, to_write.contains(rest.first()));
  now.to_read_ = to_read;
  now.to_write_ = to_write;
}

void ReadinessTracker::count(Range& range, int device, bool reads, bool ready) {
  auto& unready = range.readiness.unready_[device];
  std::uint32_t& blocks = reads ? unready.to_read : unready.to_write;
  const bool was_unready = blocks != 0;
  blocks += ready ? -1U : 1U;
  if (reads || range.kind != Kind::shared || was_unready == (blocks != 0)) return;
  unready_ranges_[device] += ready ? -1U : 1U;
}

void ReadinessTracker::enter(Range& range) {
  MutexLock lock(mutex_);
  if (range.kind != Kind::shared) return;
  range.readiness.born_ = launches_;
  for (int device = 0; device < max_devices; ++device) ++unready_ranges_[device];
}

void ReadinessTracker::leave(Range& range) {
  MutexLock lock(mutex_);
  if (range.kind != Kind::shared) return;
  for (int device = 0; device < max_devices; ++device)
    if (range.readiness.unready_[device].to_write != 0) --unready_ranges_[device];
}

}  // namespace sluice::engine
