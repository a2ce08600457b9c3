// MappingAllowance: keeps the last of a process's mappings (vm.max_map_count) for the program: for
// thread stacks, for malloc, and for unmapping.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"

namespace sluice::os {

class MappingAllowance {
 public:
  // Asks for the few mappings that a view of a range takes. Counts the mappings of the process now
  // and then, the more often the fewer are left; with tens of thousands a count takes a few
  // milliseconds. Mappings that the program makes in between are not seen. out_of_host_memory,
  // naming the limit. Thread-safe.
  [[nodiscard]] Result<void> take();

 private:
  std::atomic<std::int64_t> views_left_{0};  // that may be made before the next count
};

}  // namespace sluice::os
