// MappingAllowance: keeps the last of a process's mappings (vm.max_map_count) for the program: for
// stacks of threads, for malloc, and for taking memory down again.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hpp"

namespace sluice::os {

class MappingAllowance {
 public:
  // Asks for the few mappings that a view of a range takes. Counts the mappings of the process now
  // and then, more often the fewer are left, and a few milliseconds each time that there are tens
  // of thousands. What the program maps in between is not seen. out_of_host_memory, naming the
  // limit. Thread-safe.
  [[nodiscard]] Result<void> take();

 private:
  std::atomic<std::int64_t> views_left_{0};  // that may be made before the next count
};

}  // namespace sluice::os
