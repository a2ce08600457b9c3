// Eviction: how a device is emptied of a block, and which blocks go first when its memory is short.
//
// Why last use by a launch and not by an access: a device reports no accesses, but every launch names its blocks.
// Cost: evict() as acquire(). choose_victims() is linear in the candidates and logarithmic for each victim, because a
// device holds tens of thousands of blocks and usually few of them have to go.
// What it does not do: know which blocks may not go (leased, named by the launch that needs the room): the caller leaves
// them out of the candidates.
#include <algorithm>
#include <cassert>
#include <numeric>

#include "plan/planner.hpp"

namespace sluice::plan {

using directory::BlockDirectory;
using directory::Mapping;

Plan evict(const BlockDirectory& block, int device, Location to,
           const Abilities& /*abilities*/) noexcept {
  const Location from = Location::device(device);
  assert(to != from);
  Plan plan;
  // The mapping goes as a whole and takes the rights with it, so that no store can follow the copy.
  if (block.mapping(device) != Mapping::none) plan.add({.kind = StepKind::unmap, .others = from});
  const PageMask& held = block.holding(from).resident;
  if (held.empty()) return plan;
  const PageMask only_copies = block.only_on(from);
  if (!only_copies.empty()) {
    plan.add({.kind = StepKind::copy, .to = to, .from = from, .pages = only_copies});
    plan.add({.kind = StepKind::publish, .to = to, .pages = only_copies});
  }
  plan.add({.kind = StepKind::drop, .others = from, .pages = held});
  return plan;
}

std::span<Candidate> choose_victims(std::span<Candidate> candidates, std::size_t need) noexcept {
  const auto sum = [](std::size_t total, const Candidate& candidate) {
    return total + candidate.size;
  };
  if (std::accumulate(candidates.begin(), candidates.end(), std::size_t{0}, sum) < need) return {};
  const auto younger = [](const Candidate& a, const Candidate& b) {
    return a.last_use != b.last_use ? a.last_use > b.last_use : a.index > b.index;
  };
  // The heap's top is the oldest; the victims gather behind the heap, the oldest last.
  std::make_heap(candidates.begin(), candidates.end(), younger);
  auto rest = candidates.end();
  for (std::size_t freed = 0; freed < need;) {
    std::pop_heap(candidates.begin(), rest, younger);
    freed += (--rest)->size;
  }
  std::reverse(rest, candidates.end());
  return {rest, candidates.end()};
}

std::span<Candidate> choose_relocated(std::span<Candidate> candidates, std::size_t need,
                                      std::uint64_t rested) noexcept {
  const auto fresh =
      std::partition(candidates.begin(), candidates.end(),
                     [rested](const Candidate& range) { return range.last_use < rested; });
  return choose_victims({candidates.begin(), fresh}, need);
}

}  // namespace sluice::plan
