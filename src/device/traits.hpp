// Traits: the abilities of a kind of device that the engine needs to know.
#pragma once

#include <cstddef>
#include <string>

namespace sluice::device {

// The abilities of a device, fixed for its life.
struct Traits {
  std::string name;
  std::size_t memory_size = 0;      // bytes
  std::size_t mapping_granule = 0;  // bytes; addresses and sizes of mappings are multiples of it
  std::size_t argument_limit = 0;   // bytes of kernel arguments that one launch can carry
  int copy_engines = 0;             // at least two: one for each direction
  bool recoverable_faults =
      false;                      // an access fault stalls the kernel and is answered by the engine
  bool maps_host_memory = false;  // host memory may be mapped on the device
  bool maps_host_ranges = false;  // that of Kind::host may, even if other may not
  std::size_t host_granule = 0;   // as mapping_granule, for mappings of host memory
  bool copies_from_peers = false;  // copy() accepts a `from` on another device of the same back end
  bool maps_peers = false;         // update_mappings() accepts a `backing` on another one
  // All devices of the space share one page table: an address leads to the same memory on each
  // device that maps it.
  bool shares_addresses = false;
  // A launch may be limited to the memory that it is granted (LaunchCommand::granted).
  bool limits_launches = false;
  // Atomic operations of the device and the host on one word of host memory are atomic with respect
  // to each other. Without that, concurrent additions by both lose updates; plain loads and stores,
  // and atomics by one side, are still correct.
  bool native_atomics = false;
  // Memory that is mapped with Rights::read is protected: a store there is an access fault.
  bool read_only_mappings = false;
  // update_mappings() takes the caller's time and is done when it returns, so it is called between
  // the copies of one batch and those of the next, which may reach the memory where it is mapped.
  bool maps_in_the_call = false;
  // The back end keeps host memory that it copied from or to registered until forget_host_memory();
  // its pages must stay too.
  bool keeps_host_memory = false;
};

}  // namespace sluice::device
