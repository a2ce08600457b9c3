// What a choice of victims is held against: the first of a sorted list until they are enough.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice::plan {

// Their indexes; empty if all together are too few.
template <typename Each>
std::vector<std::size_t> first_enough(const std::vector<Each>& sorted, std::size_t need) {
  std::size_t freed = 0;
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < sorted.size() && freed < need; ++i) {
    freed += sorted[i].size;
    chosen.push_back(sorted[i].index);
  }
  if (freed < need) chosen.clear();
  return chosen;
}

}  // namespace sluice::plan
