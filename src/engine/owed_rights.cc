// OwedRights: the list.
//
// Cost: a load where nothing is owed, which is always so in Grade::full. What it does not do: give rights; the engine does, with the
// block's claim.
#include "engine/owed_rights.hpp"

namespace sluice::engine {

void OwedRights::note(std::list<Debt>& debts, device::Fence until) noexcept {
  if (debts.empty()) return;
  const MutexLock lock(mutex_);
  for (Debt& debt : debts) {
    debt.until = until;
    debt.number = ++last_;
  }
  debts_.splice(debts_.end(), debts);
  count_.store(debts_.size(), std::memory_order_release);
}

std::optional<Debt> OwedRights::due_after(std::uint64_t number,
                                          const transfer::Timelines& timelines) const noexcept {
  const MutexLock lock(mutex_);
  for (const Debt& debt : debts_)
    if (debt.number > number && !timelines.is_pending(debt.until)) return debt;
  return std::nullopt;
}

void OwedRights::settle(const Debt& debt) noexcept {
  const MutexLock lock(mutex_);
  debts_.remove_if([&](const Debt& each) { return each.number == debt.number; });
  count_.store(debts_.size(), std::memory_order_release);
}

void OwedRights::defer(const Debt& debt, device::Fence until) noexcept {
  const MutexLock lock(mutex_);
  for (Debt& each : debts_)
    if (each.number == debt.number) each.until = until;
}

}  // namespace sluice::engine
