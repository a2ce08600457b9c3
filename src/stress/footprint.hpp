// Footprint: the resources of a process that a space must release when it closes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sluice::stress {

struct Footprint {
  std::size_t descriptors = 0;
  std::size_t memory_file_mappings =
      0;  // of memory files: host bytes, control areas, device memory
  std::vector<std::string> reservations;  // of a GiB or more: where address windows are reserved
  std::size_t processes = 0;  // children, those that ended and were not waited for included
  std::size_t threads = 0;
};

[[nodiscard]] Footprint take_footprint();

// The resources that are new, one line each. Those that end a moment after the call that ended them
// (a process, a thread) get a second to do so.
[[nodiscard]] std::vector<std::string> leaks_since(const Footprint& before);

}  // namespace sluice::stress
