// first_until: the first elements of an order up to a total size, without sorting the rest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>

namespace sluice::plan {

// Returns the first elements by `before`, in that order, until their sizes add up to `need`; empty
// if all together are too few. Reorders `all`; the chosen stand at its end. Linear, and logarithmic
// for each that is chosen.
template <typename Each, typename Before>
[[nodiscard]] std::span<Each> first_until(std::span<Each> all, std::size_t need, Before&& before) {
  const auto sum = [](std::size_t total, const Each& each) { return total + each.size; };
  if (std::accumulate(all.begin(), all.end(), std::size_t{0}, sum) < need) return {};
  const auto after = [&](const Each& a, const Each& b) { return before(b, a); };
  // The heap's top is the first; the chosen gather behind the heap, the first of them last.
  std::make_heap(all.begin(), all.end(), after);
  auto rest = all.end();
  for (std::size_t freed = 0; freed < need;) {
    std::pop_heap(all.begin(), rest, after);
    freed += (--rest)->size;
  }
  std::reverse(rest, all.end());
  return {rest, all.end()};
}

}  // namespace sluice::plan
