// StalledAccess: detects a queue that comes back for a page that it had.
//
// A page that was given for reading and is now wanted for writing does not count: the queue has
// made progress.
#include "plan/stalled_access.hpp"

#include <algorithm>

namespace sluice::plan {

void StalledAccess::add(const PageDemand& demand) {
  const auto known = std::ranges::find(together_, demand.page, &PageDemand::page);
  if (known == together_.end())
    together_.push_back(demand);
  else
    known->access = std::max(known->access, demand.access);
}

bool StalledAccess::ask(const PageDemand& demand) {
  if (together_.size() >= most_together) retired();
  if (!together_.empty()) {
    add(demand);
    return true;
  }
  const auto came_back = std::ranges::find_if(recent_, [&](const PageDemand& had) {
    return had.page == demand.page && had.access >= demand.access;
  });
  if (came_back != recent_.end()) {
    for (auto each = came_back; each != recent_.end(); ++each) add(*each);
    recent_.clear();
    return true;
  }
  if (recent_.size() == remembered) recent_.erase(recent_.begin());
  recent_.push_back(demand);
  return false;
}

bool StalledAccess::narrow_to(const PageDemand& demand) {
  if (is_exact_) return false;
  together_.assign(1, demand);
  is_exact_ = true;
  return true;
}

void StalledAccess::retired() noexcept {
  recent_.clear();
  together_.clear();
  is_exact_ = false;
}

}  // namespace sluice::plan
