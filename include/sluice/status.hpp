// SpaceStatus: the settings in force in a space. Nothing degrades silently; the requested settings
// are in SpaceOptions.
#pragma once

#include <cstddef>
#include <string>

#include "sluice/options.hpp"

namespace sluice {

struct SpaceStatus {
  Grade grade = Grade::none;
  std::string grade_reason;                 // why no better one is in force; empty for Grade::full
  bool shares_reads = false;                // a host read leaves a device's copy valid
  HostPages host_pages = HostPages::small;  // what HostPages::automatic means here
  std::size_t address_space = 0;            // bytes reserved
  std::size_t ranges = 0;                   // live ranges
  std::size_t bytes = 0;                    // bytes of them, rounded up to pages
  Strict strict = Strict::off;              // never Strict::automatic
  std::string strict_reason;    // which devices it cannot be enforced on; empty: none, or it is off
  bool native_atomics = false;  // DeviceInfo::native_atomics, of all devices
  // Why host memory is not on a private tmpfs, which has huge pages without any setting; empty: it
  // is. docs/host-side.md, "Huge pages".
  std::string no_private_tmpfs;
  std::size_t host_pool = 0;    // bytes that it may hold (SpaceOptions::host_pool)
  std::size_t host_pooled = 0;  // bytes that it holds now
  bool published = false;       // `sluice top` shows the space; not without a descriptor or a thread
};

}  // namespace sluice
