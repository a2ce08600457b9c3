// Memory as a device sees it, and commands about it, as plain values: places, allocations, copies,
// fills and mappings.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rights.hpp"
#include "base/types.hpp"
#include "sluice/location.hpp"

namespace sluice::device {

// Bytes somewhere: at a managed address in host memory, or at an offset of an allocation of a
// device's memory.
struct Place {
  Location location = Location::host();
  std::uint64_t allocation = 0;  // device: the allocation's handle. host: unused
  std::size_t offset = 0;        // device: bytes into the allocation. host: the managed address

  static Place host(Address address) noexcept { return {Location::host(), 0, address.value}; }
};

struct Allocation {
  std::uint64_t handle = 0;
  std::size_t size = 0;
};

struct CopyCommand {
  Place from;
  Place to;
  std::size_t size = 0;  // bytes
};

struct FillCommand {
  Place to;  // on this device
  std::size_t size = 0;
  std::uint8_t value = 0;
};

// Make [address, address + size) reach `backing` with `rights`; Rights::none removes the mapping,
// and any earlier mapping is replaced. Unmapping cannot fail for lack of resources.
struct MappingCommand {
  Address address;
  std::size_t size = 0;
  Place backing;
  Rights rights = Rights::none;
  // The same backing is mapped there already, and only the rights change. Like unmapping, this
  // cannot fail for lack of resources.
  bool rights_only = false;
};

}  // namespace sluice::device
