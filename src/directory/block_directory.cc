// The directory of one block: three bitmaps for each location that was ever admitted, and one for
// lost pages.
//
// Why bitmaps and not a state per page: requests come as sets of pages, and a set is answered with
// eight-word operations whatever its shape. State and holders of a single page are derived, so they
// cannot disagree. Cost: every transition and query is some tens of nanoseconds, times the admitted
// devices where it names no location; 208 bytes a device and block. What it does not do: decide
// anything. A wrong transition is carried out and then found by check(); the plans' order is what
// keeps the invariants.
#include "directory/block_directory.hpp"

#include <cassert>
#include <utility>

namespace sluice::directory {

const char* to_string(PageState state) noexcept {
  switch (state) {
    case PageState::untouched:
      return "untouched";
    case PageState::exclusive:
      return "exclusive";
    case PageState::shared:
      return "shared";
    case PageState::lost:
      return "lost";
  }
  return "?";
}

const char* to_string(Violation violation) noexcept {
  switch (violation) {
    case Violation::none:
      return "none";
    case Violation::rights_without_copy:
      return "rights without a copy";
    case Violation::writer_not_alone:
      return "a page with a writer has several copies";
    case Violation::lost_with_copy:
      return "a lost page has a copy";
    case Violation::host_mapped_with_copy:
      return "a host-mapped block has a copy on a device";
    case Violation::beyond_extent:
      return "pages beyond the block's extent are held";
  }
  return "?";
}

BlockDirectory::BlockDirectory(std::uint32_t extent, HostRights host_rights) noexcept
    : extent_(extent), host_rights_(host_rights), every_page_(PageSpan{0, extent}) {
  assert(extent >= 1 && extent <= pages_per_block);
}

void BlockDirectory::admit(int device) {
  assert(device >= 0 && device < max_devices);
  if (find(device) == nullptr) devices_.push_back({.device = device});
}

DeviceHolding* BlockDirectory::find(int device) noexcept {
  return const_cast<DeviceHolding*>(std::as_const(*this).find(device));
}

Holding& BlockDirectory::held(Location location) noexcept {
  if (location.is_host()) return host_;
  DeviceHolding* const device = find(location.number());
  assert(device != nullptr && "the device was never admitted to this block");
  return device->pages;
}

// --- queries -------------------------------------------------------------------------------------

PageState BlockDirectory::state(std::uint32_t page) const noexcept {
  if (lost_.contains(page)) return PageState::lost;
  const int copies = holders(page).size();
  if (copies == 0) return PageState::untouched;
  return copies == 1 ? PageState::exclusive : PageState::shared;
}

LocationSet BlockDirectory::holders(std::uint32_t page) const noexcept {
  LocationSet set;
  if (host_.resident.contains(page)) set.insert(Location::host());
  for (const DeviceHolding& device : devices_) {
    if (device.pages.resident.contains(page)) set.insert(Location::device(device.device));
  }
  return set;
}

LocationSet BlockDirectory::holders() const noexcept {
  LocationSet set;
  if (!host_.resident.empty()) set.insert(Location::host());
  for (const DeviceHolding& device : devices_) {
    if (!device.pages.resident.empty()) set.insert(Location::device(device.device));
  }
  return set;
}

Rights BlockDirectory::rights(Location location, std::uint32_t page) const noexcept {
  const Holding& pages = holding(location);
  if (pages.writable.contains(page)) return Rights::write;
  return pages.readable.contains(page) ? Rights::read : Rights::none;
}

PageMask BlockDirectory::untouched() const noexcept {
  PageMask pages = every_page() - lost_ - host_.resident;
  for (const DeviceHolding& device : devices_) pages -= device.pages.resident;
  return pages;
}

PageMask BlockDirectory::only_on(Location location) const noexcept {
  PageMask pages = holding(location).resident;
  if (location.is_device()) pages -= host_.resident;
  for (const DeviceHolding& device : devices_) {
    if (location != Location::device(device.device)) pages -= device.pages.resident;
  }
  return pages;
}

LocationSet BlockDirectory::host_mapped() const noexcept {
  LocationSet set;
  for (const DeviceHolding& device : devices_) {
    if (device.mapping == Mapping::host) set.insert(Location::device(device.device));
  }
  return set;
}

PageMask BlockDirectory::revocable(Rights host_rights) const noexcept {
  if (host_rights_ == HostRights::standing) return {};
  return host_rights == Rights::write ? host_.writable : host_.readable;
}

// --- transitions ---------------------------------------------------------------------------------

void BlockDirectory::publish(Location location, const PageMask& pages) noexcept {
  assert(!pages.intersects(lost_) && "lost pages come back by discard only");
  held(location).resident |= pages;
}

void BlockDirectory::drop(Location location, const PageMask& pages) noexcept {
  held(location).resident -= pages;
  revoke(location, pages);
}

void BlockDirectory::grant(Location location, const PageMask& pages, Rights rights) noexcept {
  Holding& holding = held(location);
  if (rights != Rights::none) holding.readable |= pages;
  if (rights == Rights::write) holding.writable |= pages;
}

void BlockDirectory::downgrade(Location location, const PageMask& pages) noexcept {
  held(location).writable -= pages;
}

void BlockDirectory::revoke(Location location, const PageMask& pages) noexcept {
  Holding& holding = held(location);
  holding.readable -= pages;
  holding.writable -= pages;
}

void BlockDirectory::discard(const PageMask& pages) noexcept {
  drop(Location::host(), pages);
  for (const DeviceHolding& device : devices_) drop(Location::device(device.device), pages);
  lost_ -= pages;
}

void BlockDirectory::map(int device, Mapping mapping, Rights rights) noexcept {
  DeviceHolding* const holding = find(device);
  assert(holding != nullptr && "the device was never admitted to this block");
  holding->mapping = mapping;
  holding->mapped = mapping == Mapping::none ? Rights::none : rights;
  if (mapping != Mapping::own) revoke(Location::device(device), every_page());
}

PageMask BlockDirectory::lose(int device) noexcept {
  DeviceHolding* const holding = find(device);
  if (holding == nullptr) return {};
  const PageMask gone = only_on(Location::device(device));
  *holding = {.device = device};
  lost_ |= gone;
  return gone;
}

// --- invariants ----------------------------------------------------------------------------------

Violation BlockDirectory::check() const noexcept {
  PageMask held_once;
  PageMask held_twice;
  PageMask writable;
  PageMask on_devices;
  bool rights_without_copy = false;
  const auto look = [&](const Holding& holding) {
    rights_without_copy |= !holding.resident.contains(holding.readable) ||
                           !holding.readable.contains(holding.writable);
    held_twice |= held_once & holding.resident;
    held_once |= holding.resident;
    writable |= holding.writable;
  };
  look(host_);
  for (const DeviceHolding& device : devices_) {
    look(device.pages);
    on_devices |= device.pages.resident;
  }
  if (rights_without_copy) return Violation::rights_without_copy;
  if (writable.intersects(held_twice)) return Violation::writer_not_alone;
  if (lost_.intersects(held_once)) return Violation::lost_with_copy;
  if (!on_devices.empty() && !host_mapped().empty()) return Violation::host_mapped_with_copy;
  if (!every_page().contains(held_once | lost_)) return Violation::beyond_extent;
  return Violation::none;
}

}  // namespace sluice::directory
