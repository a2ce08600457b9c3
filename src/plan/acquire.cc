// acquire and discard: the steps needed before a location may read or write pages of a block.
//
// Why it is one short file: this is the coherence protocol. There is a single writer or many
// readers; a location loses rights before bytes are copied, and gains rights after the copy is
// published. Each step is computed from the directory as it is now, and a step that would change
// nothing is left out, so that a request that is met already gives an empty plan. Cost: no
// allocation; a fraction of a microsecond with a few devices (one pass over the holdings for each
// kind of step, and one more for each source of a copy). What it does not do: look at time, history
// or advice (policy.cc), or wait for kernels: the caller plans when no kernel uses the pages any
// more.
#include <cassert>
#include <utility>

#include "plan/planner.hpp"

namespace sluice::plan {

using directory::BlockDirectory;
using directory::DeviceHolding;
using directory::Holding;
using directory::Mapping;

namespace {

// Calls `visit(Location, const Holding&)` for the host and every admitted device.
template <typename Visitor>
void for_each_location(const BlockDirectory& block, Visitor&& visit) {
  visit(Location::host(), block.holding(Location::host()));
  for (const DeviceHolding& device : block.devices())
    visit(Location::device(device.device), device.pages);
}

// Adds steps of the kinds that name a set of locations: all but `spared` that have any of `pages`
// in `what`.
void add_for_others(Plan& plan, StepKind kind, const BlockDirectory& block, LocationSet spared,
                    const PageMask& pages, PageMask Holding::* what) {
  LocationSet others;
  PageMask concerned;
  for_each_location(block, [&](Location location, const Holding& holding) {
    if (spared.contains(location) || !pages.intersects(holding.*what)) return;
    others.insert(location);
    concerned |= holding.*what & pages;
  });
  if (!others.empty()) plan.add({.kind = kind, .others = others, .pages = concerned});
}

void add_unmap(Plan& plan, const LocationSet& devices) {
  if (!devices.empty()) plan.add({.kind = StepKind::unmap, .others = devices});
}

// Adds steps of the kinds that concern `to` alone.
void add_at(Plan& plan, StepKind kind, Location to, const PageMask& pages,
            Rights rights = Rights::none) {
  if (!pages.empty()) plan.add({.kind = kind, .to = to, .rights = rights, .pages = pages});
}

// Chooses the sources of `missing` for `to`: the host as far as it has them, then the device that
// has most, and so on.
void add_copies(Plan& plan, const BlockDirectory& block, Location to, PageMask missing) {
  while (!missing.empty()) {
    Location source = Location::host();
    std::uint32_t most = 0;
    for_each_location(block, [&](Location location, const Holding& holding) {
      if (most != 0 && source.is_host())
        return;  // the host is visited first, and is preferred to any device
      const std::uint32_t count = (holding.resident & missing).count();
      if (count <= most) return;
      source = location;
      most = count;
    });
    assert(most != 0 && "pages that nobody has cannot be copied");
    const PageMask pages = block.holding(source).resident & missing;
    plan.add({.kind = StepKind::copy, .to = to, .from = source, .pages = pages});
    missing -= pages;
  }
}

// Adds the step that makes a device's page table cover the next grant. A device without recoverable
// faults maps the block as a whole, so an earlier mapping often serves.
void add_own_mapping(Plan& plan, const BlockDirectory& block, int device, const PageMask& granted,
                     Rights rights, const Abilities& abilities) {
  const bool recoverable = abilities.recoverable_fault_devices.contains(device);
  if (!recoverable && block.mapping(device) == Mapping::own && block.mapped(device) >= rights)
    return;
  plan.add({.kind = StepKind::map,
            .to = Location::device(device),
            .rights = rights,
            .mapping = Mapping::own,
            .pages = recoverable ? granted : block.every_page()});
}

// Devices with mappings that must end before `device` may map its own memory: those that reach the
// host's, and where devices share a page table, the one of them that has the address now.
LocationSet in_the_way(const BlockDirectory& block, int device, const Abilities& abilities) {
  LocationSet devices = block.host_mapped();
  if (!abilities.sharing_devices.contains(device)) return devices;
  for (const DeviceHolding& other : block.devices())
    if (other.device != device && other.mapping == Mapping::own &&
        abilities.sharing_devices.contains(other.device))
      devices.insert(Location::device(other.device));
  return devices;
}

Plan acquire_own(const BlockDirectory& block, Location to, const PageMask& pages, Rights rights,
                 const Abilities& abilities) {
  Plan plan;
  const Holding& mine = block.holding(to);
  const PageMask needed = pages - (rights == Rights::write ? mine.writable : mine.readable);
  if (needed.empty()) return plan;

  if (to.is_device()) add_unmap(plan, in_the_way(block, to.number(), abilities));
  if (rights == Rights::write) {
    add_for_others(plan, StepKind::revoke, block, to, needed, &Holding::readable);
  } else {
    LocationSet spared = to;
    if (!abilities.host_can_share && to.is_device()) {
      // A host that cannot share gives up all its rights; it keeps its copy.
      const PageMask taken = block.holding(Location::host()).readable & needed;
      if (!taken.empty())
        plan.add({.kind = StepKind::revoke, .others = Location::host(), .pages = taken});
      spared.insert(Location::host());
    }
    add_for_others(plan, StepKind::downgrade, block, spared, needed, &Holding::writable);
  }
  if (const PageMask missing = needed - mine.resident; !missing.empty()) {
    // Untouched pages are holes of the host's memory file, which read as zeros; a device's memory
    // must be cleared.
    const PageMask untouched = missing & block.untouched();
    add_copies(plan, block, to, missing - untouched);
    if (to.is_device()) add_at(plan, StepKind::fill, to, untouched);
    add_at(plan, StepKind::publish, to, missing);
  }
  if (rights == Rights::write)
    add_for_others(plan, StepKind::drop, block, to, needed, &Holding::resident);
  if (to.is_device()) add_own_mapping(plan, block, to.number(), needed, rights, abilities);
  add_at(plan, StepKind::grant, to, needed, rights);
  return plan;
}

bool maps_host(const BlockDirectory& block, int device, Rights rights) {
  const Mapping mapping = block.mapping(device);
  return (mapping == Mapping::host || mapping == Mapping::peer) && block.mapped(device) >= rights;
}

// Limits the host's rights while a kernel works on the same bytes: none to those that it writes,
// reading to the others. The device's mapping stays when the host asks for its rights again; the
// readiness tracker makes that wait for kernels.
void add_host_yields(Plan& plan, const BlockDirectory& block, const PageMask& written,
                     const PageMask& read, const Abilities& abilities) {
  PageMask revoked = written & block.revocable(Rights::read);
  PageMask downgraded = read & block.revocable(Rights::write);
  if (!abilities.host_can_share) revoked |= std::exchange(downgraded, {});
  const Location host = Location::host();
  if (!revoked.empty()) plan.add({.kind = StepKind::revoke, .others = host, .pages = revoked});
  if (!downgraded.empty())
    plan.add({.kind = StepKind::downgrade, .others = host, .pages = downgraded});
}

// Before a device may write host memory, untouched pages become the host's: they would be taken for
// zeros later. discard() ends all such mappings for the same reason.
Plan acquire_host_mapped(const BlockDirectory& block, const Request& request,
                         const Abilities& abilities) {
  Plan plan;
  const int device = request.to.number();
  const Rights rights = rights_for(request.access);
  const PageMask pages = request.pages & block.every_page();
  const PageMask only_read =
      request.access == Access::read ? pages : request.only_read & block.every_page();
  const PageMask written = pages - only_read;
  const bool is_mapped = maps_host(block, device, rights);
  if (is_mapped) {
    add_host_yields(plan, block, written, only_read, abilities);
    return plan;
  }
  const Location host = Location::host();
  const PageMask untouched = block.untouched();
  const PageMask on_devices =
      block.every_page() - block.holding(host).resident - untouched - block.lost();

  if (block.mapping(device) == Mapping::own) add_unmap(plan, request.to);
  LocationSet spared = host;
  if (block.mapping(device) == Mapping::own) spared.insert(request.to);
  add_for_others(plan, StepKind::revoke, block, spared, block.every_page(), &Holding::readable);
  add_host_yields(plan, block, written, only_read, abilities);
  add_copies(plan, block, host, on_devices);
  add_at(plan, StepKind::publish, host,
         rights == Rights::write ? on_devices | untouched : on_devices);
  add_for_others(plan, StepKind::drop, block, host, block.every_page(), &Holding::resident);
  plan.add({.kind = StepKind::map,
            .to = request.to,
            .rights = rights,
            .mapping = Mapping::host,
            .pages = block.every_page()});
  return plan;
}

// Nothing is copied, so no copy stays behind: every location with a copy or a mapping of its own
// loses it, `to` included. Only the lender keeps a mapping, although the memory is no longer its
// own: it is the same memory, and will be mapped there again.
Plan acquire_borrowed(const BlockDirectory& block, int device, const Abilities& abilities) {
  Plan plan;
  const Location to = Location::device(device);
  const Location from = Location::device(lender(block, device));
  const PageMask all = block.every_page();
  LocationSet ending = in_the_way(block, device, abilities);
  ending.erase(from);
  if (block.mapping(device) == Mapping::own) ending.insert(to);
  add_unmap(plan, ending);
  add_for_others(plan, StepKind::revoke, block, to, all, &Holding::readable);
  plan.add({.kind = StepKind::borrow, .to = to, .from = from, .pages = all});
  add_at(plan, StepKind::publish, to, all - block.holding(to).resident);
  add_for_others(plan, StepKind::drop, block, to, all, &Holding::resident);
  plan.add({.kind = StepKind::map,
            .to = to,
            .rights = Rights::write,
            .mapping = Mapping::own,
            .pages = all});
  add_at(plan, StepKind::grant, to, all, Rights::write);
  return plan;
}

}  // namespace

Plan acquire(const BlockDirectory& block, const Request& request,
             const Abilities& abilities) noexcept {
  if (request.means == Means::host_mapped) {
    assert(request.to.is_device());
    return acquire_host_mapped(block, request, abilities);
  }
  if (request.means == Means::borrow)
    return acquire_borrowed(block, request.to.number(), abilities);
  const bool host_alone = request.to.is_host() && !abilities.host_can_share;
  const Rights rights = host_alone ? Rights::write : rights_for(request.access);
  return acquire_own(block, request.to, (request.pages & block.every_page()) - block.lost(), rights,
                     abilities);
}

Plan discard(const BlockDirectory& block, const PageMask& pages,
             const Abilities& /*abilities*/) noexcept {
  Plan plan;
  const PageMask touched = (pages & block.every_page()) - block.untouched();
  if (touched.empty()) return plan;
  // A device that maps host memory has no rights that could be revoked page by page.
  add_unmap(plan, block.host_mapped());
  add_for_others(plan, StepKind::revoke, block, {}, touched, &Holding::readable);
  plan.add({.kind = StepKind::discard, .pages = touched});
  return plan;
}

bool ready(const BlockDirectory& block, int device, Access access) noexcept {
  return ready(block, device, block.every_page(), access);
}

bool ready(const BlockDirectory& block, int device, const PageMask& pages, Access access) noexcept {
  if (block.mapping(device) == Mapping::none || block.lost().intersects(pages)) return false;
  const Rights rights = rights_for(access);
  if (maps_host(block, device, rights))
    return !pages.intersects(
        block.revocable(rights == Rights::write ? Rights::read : Rights::write));
  // Rights to a copy of its own are never more than the mapping gives, and end with it.
  const Holding& mine = block.holding(Location::device(device));
  return (rights == Rights::write ? mine.writable : mine.readable).contains(pages);
}

}  // namespace sluice::plan
