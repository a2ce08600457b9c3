// BlockDirectory: which locations hold each page of one block, and with what rights. Pure: no
// clock, no thread, no system call.
//
// A page's state
//   untouched   no location has a copy; it reads as zeros and costs nothing
//   exclusive   one location has the only copy, and may hold the right to write
//   shared      several locations hold the same bytes; none may write
//   lost        the only copy was in the memory of a device that is gone
// Transitions
//   untouched -> exclusive   publish (after a fill)
//   exclusive -> shared      publish at a second location (after a copy)
//   shared    -> exclusive   drop of all copies but one
//   exclusive, shared -> untouched   discard
//   exclusive -> lost        lose
//   lost      -> untouched   discard
// A location's rights to a page: none -> read -> write by grant; write -> read by downgrade; any ->
// none by revoke.
//
// Invariants (check() names the first that is broken)
//   I1  rights imply a copy: in every location, writable is within readable, that within resident
//   I2  a writer is alone: a writable page has exactly one copy
//   I3  lost pages have no copy
//   I4  while a block is host-mapped on a device, no device has a copy of it
//   I5  nothing is held beyond the block's extent
//
// Where the block is host-mapped on a device, host and device have one copy between them. The
// host's rights then say what the next launch there may rely on: it may write pages to which the
// host has no right, and read pages that the host may not write. A host with standing rights
// (Kind::host) keeps them for ever, and users of the block must allow for that.
//
// A device without recoverable faults keeps its block mapped as a whole, stale pages included; its
// rights here say what the next launch may rely on. A device with recoverable faults has exactly
// these rights in its page table.
#pragma once

#include <cstdint>
#include <vector>

#include "base/page_mask.hpp"
#include "base/rights.hpp"
#include "sluice/location.hpp"

namespace sluice::directory {

enum class PageState : std::uint8_t { untouched, exclusive, shared, lost };
[[nodiscard]] const char* to_string(PageState state) noexcept;

// Says if the host's rights to a block can be taken away.
enum class HostRights : std::uint8_t {
  revocable,  // Kind::shared: the fault source watches the pages
  standing,   // all other kinds
};

// How a device's page table covers the block.
enum class Mapping : std::uint8_t {
  none,
  own,   // its own memory
  host,  // host memory: the device uses the host's copy
  peer,  // memory of the device that the range belongs to (Kind::device)
};

enum class Violation : std::uint8_t {
  none,
  rights_without_copy,
  writer_not_alone,
  lost_with_copy,
  host_mapped_with_copy,
  beyond_extent
};
[[nodiscard]] const char* to_string(Violation violation) noexcept;

// One location's holding of the block.
struct Holding {
  PageMask resident;
  PageMask readable;
  PageMask writable;
};

struct DeviceHolding {
  int device = -1;
  Mapping mapping = Mapping::none;
  // The weakest rights of the mapping; on devices with recoverable faults the strongest given
  // anywhere.
  Rights mapped = Rights::none;
  Holding pages{};
};

// Not thread-safe. No member but admit() allocates. Preconditions are checked by assert and, in
// effect, by check().
class BlockDirectory {
 public:
  // `extent`: pages of the block that belong to the range, 1..512, counted from the first.
  explicit BlockDirectory(std::uint32_t extent,
                          HostRights host_rights = HostRights::revocable) noexcept;

  [[nodiscard]] std::uint32_t extent() const noexcept { return extent_; }
  [[nodiscard]] const PageMask& every_page() const noexcept { return every_page_; }

  // Makes room for a device's holding. Must be called before any transition that names the device.
  void admit(int device);
  [[nodiscard]] const std::vector<DeviceHolding>& devices() const noexcept { return devices_; }
  // Empty for a device that was never admitted. Called many times in one access.
  [[nodiscard]] const Holding& holding(Location location) const noexcept {
    static constexpr Holding nothing;
    if (location.is_host()) return host_;
    const DeviceHolding* const device = find(location.number());
    return device == nullptr ? nothing : device->pages;
  }
  [[nodiscard]] Mapping mapping(int device) const noexcept {
    const DeviceHolding* const holding = find(device);
    return holding == nullptr ? Mapping::none : holding->mapping;
  }
  [[nodiscard]] Rights mapped(int device) const noexcept {
    const DeviceHolding* const holding = find(device);
    return holding == nullptr ? Rights::none : holding->mapped;
  }

  [[nodiscard]] PageState state(std::uint32_t page) const noexcept;
  [[nodiscard]] LocationSet holders(std::uint32_t page) const noexcept;
  // Locations that hold at least one page.
  [[nodiscard]] LocationSet holders() const noexcept;
  [[nodiscard]] Rights rights(Location location, std::uint32_t page) const noexcept;
  [[nodiscard]] PageMask untouched() const noexcept;
  [[nodiscard]] const PageMask& lost() const noexcept { return lost_; }
  // Pages of which `location` has the only copy.
  [[nodiscard]] PageMask only_on(Location location) const noexcept;
  // The devices on which the block is host-mapped.
  [[nodiscard]] LocationSet host_mapped() const noexcept;
  // Pages with bytes that the host may change (with Rights::write) or see (with Rights::read)
  // through revocable rights: a device may not read, or not write, them in host memory meanwhile.
  [[nodiscard]] PageMask revocable(Rights host_rights) const noexcept;

  // Transitions, each on any pages of the extent.
  // `location` now has a valid copy.
  void publish(Location location, const PageMask& pages) noexcept;
  // Its copy is no longer valid; its rights end.
  void drop(Location location, const PageMask& pages) noexcept;
  void grant(Location location, const PageMask& pages, Rights rights) noexcept;
  void downgrade(Location location, const PageMask& pages) noexcept;  // write -> read
  void revoke(Location location, const PageMask& pages) noexcept;
  // No location has a copy or rights any more, and no page is lost.
  void discard(const PageMask& pages) noexcept;
  // Mapping::none ends the mapping. A device's rights end with the mapping of its own memory; its
  // copies do not.
  void map(int device, Mapping mapping, Rights rights) noexcept;
  // The device and its memory are gone. Returns the pages that only it had: they are lost now.
  PageMask lose(int device) noexcept;

  [[nodiscard]] Violation check() const noexcept;

 private:
  [[nodiscard]] Holding& held(Location location) noexcept;
  [[nodiscard]] DeviceHolding* find(int device) noexcept;
  [[nodiscard]] const DeviceHolding* find(int device) const noexcept {
    for (const DeviceHolding& holding : devices_)
      if (holding.device == device) return &holding;
    return nullptr;
  }

  std::uint32_t extent_;
  HostRights host_rights_;
  PageMask every_page_;
  Holding host_;
  PageMask lost_;
  std::vector<DeviceHolding> devices_;
};

}  // namespace sluice::directory
