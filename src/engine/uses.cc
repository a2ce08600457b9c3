// UseList::add: the newer launch replaces the older one of its queue, and finished ones go.
#include "engine/uses.hpp"

#include <algorithm>

namespace sluice::engine {

void UseList::add(const ActiveUse& use, const transfer::Timelines& timelines) {
  for (ActiveUse& old : uses_) {
    if (old.fence.device != use.fence.device || old.fence.timeline != use.fence.timeline) continue;
    if (old.span != use.span || old.writes != use.writes) continue;
    old = use;
    return;
  }
  if (uses_.size() >= prune_at_) {
    std::erase_if(uses_,
                  [&](const ActiveUse& old) { return !timelines.may_be_pending(old.fence); });
    prune_at_ = std::max<std::size_t>(8, uses_.size() * 2);
  }
  uses_.push_back(use);
}

void UseList::reserve(std::size_t more) {
  const std::size_t need = uses_.size() + more;
  if (uses_.capacity() < need) uses_.reserve(std::max(need, 2 * uses_.size()));
}

}  // namespace sluice::engine
