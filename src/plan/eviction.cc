// Eviction: how a device is emptied of a block, and which mapped ranges move away first.
// eviction_order.cc chooses the blocks that leave for a launch.
//
// Cost: evict() as acquire(). choose_relocated() is linear in the candidates and logarithmic for
// each that is chosen. What it does not do: know which ranges may not go (leased, not mapped by
// it): the caller leaves them out of the candidates.
#include <algorithm>
#include <cassert>

#include "plan/first_until.hpp"
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

std::span<Candidate> choose_relocated(std::span<Candidate> candidates, std::size_t need,
                                      std::uint64_t rested) noexcept {
  const auto fresh =
      std::partition(candidates.begin(), candidates.end(),
                     [rested](const Candidate& range) { return range.chosen < rested; });
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.chosen != b.chosen ? a.chosen < b.chosen : a.index < b.index;
  };
  return first_until(std::span<Candidate>(candidates.begin(), fresh), need, before);
}

}  // namespace sluice::plan
