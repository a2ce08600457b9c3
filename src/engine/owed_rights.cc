// OwedRights: keeps the list of owed rights, and grants them.
//
// Cost: a load where nothing is owed, which is always so in Grade::full; else the block's claim and
// a plan for each debt. What it does not do: wait for a kernel that uses the bytes by now. The debt
// is due again when that one has ended.
#include "engine/owed_rights.hpp"

#include <chrono>
#include <new>
#include <thread>

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

std::optional<Debt> OwedRights::due_after(std::uint64_t number) const noexcept {
  const MutexLock lock(mutex_);
  for (const Debt& debt : debts_)
    if (debt.number > number && !parts_.timelines.is_pending(debt.until)) return debt;
  return std::nullopt;
}

void OwedRights::remove(const Debt& debt) noexcept {
  const MutexLock lock(mutex_);
  debts_.remove_if([&](const Debt& each) { return each.number == debt.number; });
  count_.store(debts_.size(), std::memory_order_release);
}

void OwedRights::defer(const Debt& debt, device::Fence until) noexcept {
  const MutexLock lock(mutex_);
  for (Debt& each : debts_)
    if (each.number == debt.number) each.until = until;
}

// Several threads may pay the same debt; the second finds nothing to do. A freed range is owed
// nothing.
void OwedRights::pay_due() noexcept {
  if (count_.load(std::memory_order_acquire) == 0) return;
  std::uint64_t number = 0;
  while (const std::optional<Debt> debt = due_after(number)) {
    try {
      pay(*debt);
      number = debt->number;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // there may be memory soon
    }
  }
}

void OwedRights::pay(const Debt& debt) {
  const Pin range = parts_.ranges.find(debt.block, debt.range);
  std::optional<ActiveUse> obstacle;
  if (range) {
    Block& block = range->block_of(debt.block);
    const ScopedClaim claim(block.claim);
    if (block.state().leases().any_at(Location::host())) {
      const Access access = block.state().leases().any_writing() ? Access::write : Access::read;
      obstacle =
          parts_.mover.bring(*range, block, {Location::host(), debt.pages, access}, Cause::lease)
              .value_or(std::nullopt);
    }
  }
  if (obstacle)
    defer(debt, obstacle->fence);
  else
    remove(debt);
}

}  // namespace sluice::engine
