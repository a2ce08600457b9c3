// Block: 2 MiB of a range, with its claim, its mutex, and the state that both protect.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/device_set.hpp"
#include "base/ranked_mutex.hpp"
#include "base/types.hpp"
#include "device/device.hpp"
#include "directory/block_directory.hpp"
#include "engine/block_history.hpp"
#include "engine/claim.hpp"
#include "engine/readiness.hpp"

namespace sluice::engine {

// One device's share of a block, besides its entry in the directory.
struct DevicePart {
  int device = -1;
  device::Allocation allocation;  // of size 0: none
  // The allocation is host memory, for want of room (Device::allocate_in_host).
  bool in_host = false;
  // The block is host-mapped for a lasting reason, not for want of room.
  bool host_mapping_lasts = false;
  int lender = -1;           // the device that owns the memory; -1: this one
  DeviceSet old_mappings{};  // devices that map the allocation still, from when it was theirs
  // plan::Evictable::ghost_lists. Changed under the device's eviction lock and the block's mutex.
  std::uint8_t ghost_lists = 0;

  [[nodiscard]] int owner() const noexcept { return lender < 0 ? device : lender; }
};

// Leases on a block, all at one location.
class BlockLeases {
 public:
  [[nodiscard]] bool any() const noexcept { return count_ != 0; }
  [[nodiscard]] bool any_writing() const noexcept { return writing_ != 0; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Where they keep the bytes, if there are any.
  [[nodiscard]] Location location() const noexcept { return location_; }
  [[nodiscard]] bool any_at(Location location) const noexcept {
    return any() && location_ == location;
  }
  [[nodiscard]] bool any_on_a_device() const noexcept { return any() && location_.is_device(); }
  // True if a lease on a device keeps the bytes from this access of the host.
  [[nodiscard]] bool keep_from_host(Access access) const noexcept {
    return any_on_a_device() && (access == Access::write || any_writing());
  }

  void add(Access access, Location location) noexcept;
  void end(Access access) noexcept;
  // The leased bytes were moved.
  void move_to(Location location) noexcept { location_ = location; }

 private:
  std::uint32_t count_ = 0;
  std::uint32_t writing_ = 0;
  Location location_ = Location::host();
};

// Devices on which a block is mapped until a program unmaps it (mapping_run.cc).
class MappedDevices {
 public:
  [[nodiscard]] bool empty() const noexcept { return all().empty(); }
  [[nodiscard]] DeviceSet all() const noexcept { return to_read_ | to_write_; }
  [[nodiscard]] Rights rights(int device) const noexcept {
    if (to_write_.contains(device)) return Rights::write;
    return to_read_.contains(device) ? Rights::read : Rights::none;
  }
  void set(int device, Rights rights) noexcept;

 private:
  DeviceSet to_read_;
  DeviceSet to_write_;
};

// The state of a block that changes only under both its claim and its mutex.
class BlockState {
 public:
  BlockState(std::uint32_t extent, directory::HostRights host) noexcept : directory(extent, host) {}

  directory::BlockDirectory directory;
  std::vector<DevicePart> parts;
  // Of Kind::device: its bytes are in host memory, where its owner reaches them too
  // (relocation_run.cc).
  bool in_host_memory = false;

  [[nodiscard]] DevicePart* part(int device) noexcept;
  [[nodiscard]] const DevicePart* part(int device) const noexcept;
  // The device has a new mapping there.
  void forget_old_mapping(int device) noexcept;

  [[nodiscard]] const MappedDevices& mapped() const noexcept { return mapped_; }
  // While there are mapped devices they count as one writing lease where the bytes are.
  [[nodiscard]] const BlockLeases& leases() const noexcept { return leases_; }
  // True if there are leases besides that one.
  [[nodiscard]] bool is_leased_by_programs() const noexcept {
    return leases_.count() > (mapped_.empty() ? 0U : 1U);
  }
  void add_lease(Access access, Location location) noexcept { leases_.add(access, location); }
  void end_lease(Access access) noexcept { leases_.end(access); }
  // Rights::none: it is no longer mapped there. `placement`: where the bytes are.
  void set_mapped(int device, Rights rights, Location placement) noexcept;
  // The bytes were moved, and its mappings with them.
  void move_mapped(Location placement) noexcept {
    if (!mapped_.empty()) leases_.move_to(placement);
  }

 private:
  BlockLeases leases_;
  MappedDevices mapped_;
};

class Block {
 public:
  Block(Address first_byte, std::uint32_t extent, directory::HostRights host) noexcept
      : begin(first_byte), state_(extent, host) {}

  const Address begin;
  ClaimWord claim;
  RankedMutex mutex{LockRank::block, "block"};

  // The state changes under both. So the holder of the claim may read it without the mutex, and
  // queries may read it with the mutex alone.
  [[nodiscard]] const BlockState& state() const noexcept SLUICE_REQUIRES(claim) { return state_; }
  [[nodiscard]] const BlockState& locked_state() const noexcept SLUICE_REQUIRES(mutex) {
    return state_;
  }
  [[nodiscard]] BlockState& change() noexcept SLUICE_REQUIRES(claim, mutex) { return state_; }
  // The ghost lists of a device's orders of eviction are ResidencyManager's alone, and change
  // without the claim.
  void set_ghost_lists(int device, std::uint8_t ghost_lists) noexcept SLUICE_REQUIRES(mutex) {
    state_.part(device)->ghost_lists = ghost_lists;
  }
  // Adds a device: its holding in the directory and its part. Allocates; never on a fault-handler
  // thread.
  void admit(int device) SLUICE_REQUIRES(claim) SLUICE_EXCLUDES(mutex);

  HostAccesses host_accesses SLUICE_GUARDED_BY(claim);
  StoreForecast stores SLUICE_GUARDED_BY(claim);
  BorrowHistory borrows SLUICE_GUARDED_BY(claim);

  BlockReadiness readiness;  // the tracker's

  // Thread-safe.
  Claimant claimant;
  Stamps stamps;  // of launches that named it by itself
  ReaderSigns signs;
  FilledSigns fill;

  // Fixed for its life.
  [[nodiscard]] std::uint32_t extent() const noexcept { return state_.directory.extent(); }
  [[nodiscard]] const PageMask& every_page() const noexcept {
    return state_.directory.every_page();
  }
  [[nodiscard]] AddressSpan span() const noexcept { return {begin, extent() * page_size}; }
  [[nodiscard]] AddressSpan span_of(PageSpan pages) const noexcept {
    return {begin + pages.first * page_size, pages.count * page_size};
  }
  // The span from the first to the last of the pages.
  [[nodiscard]] AddressSpan hull_of(const PageMask& mask) const noexcept;
  // The block's pages that `span` touches, rounded outward.
  [[nodiscard]] PageMask pages_in(AddressSpan span) const noexcept;
  // The number of the page that the address is in.
  [[nodiscard]] std::uint32_t page_at(Address address) const noexcept {
    return static_cast<std::uint32_t>((address - begin) / page_size);
  }

  // Commands for a device with this granule: map the whole block at a place, or end its mapping.
  [[nodiscard]] device::MappingCommand mapping_at(const device::Place& place, Rights rights,
                                                  std::size_t granule) const noexcept {
    return {begin, round_up(span().size, granule), place, rights};
  }
  [[nodiscard]] device::MappingCommand unmapping(std::size_t granule) const noexcept {
    return mapping_at({}, Rights::none, granule);
  }

 private:
  BlockState state_;
};

}  // namespace sluice::engine
