// OwedRights: rights that a launch took from the host although the bytes are leased or mapped
// there.
//
// A host access asks for its rights again by itself, but not every access can: below Grade::full
// the kernel's own accesses, as in read(2), get EFAULT where rights are missing, and a lease
// promises that they do not. So rights taken for a kernel are given back as soon as a program
// learns that the kernel has ended: before the call that reports it returns.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>

#include "base/page_mask.hpp"
#include "base/ranked_mutex.hpp"
#include "engine/block_mover.hpp"
#include "engine/range_table.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

struct Debt {
  Address block;
  std::uint64_t range = 0;  // its number
  PageMask pages{};
  device::Fence until{};     // of the kernel
  std::uint64_t number = 0;  // in the order in which they were noted
};

// The parts of an engine that restoring rights works with.
struct OwedRightsParts {
  const RangeTable& ranges;
  const transfer::Timelines& timelines;
  BlockMover& mover;
};

// Thread-safe.
class OwedRights {
 public:
  explicit OwedRights(const OwedRightsParts& parts) noexcept : parts_(parts) {}

  // Allocates nothing: the elements are spliced from the list.
  void note(std::list<Debt>& debts, device::Fence until) noexcept SLUICE_EXCLUDES(mutex_);
  // Gives back rights that were taken for kernels that have ended. The caller holds no claim.
  void pay_due() noexcept SLUICE_EXCLUDES(mutex_);

 private:
  // Returns the first debt with a higher number and a kernel that has ended. It stays listed until
  // it is removed, so that no caller returns before that.
  [[nodiscard]] std::optional<Debt> due_after(std::uint64_t number) const noexcept
      SLUICE_EXCLUDES(mutex_);
  void pay(const Debt& debt) SLUICE_EXCLUDES(mutex_);
  // The debt is paid, or its range is gone.
  void remove(const Debt& debt) noexcept SLUICE_EXCLUDES(mutex_);
  // Another kernel uses the bytes by now.
  void defer(const Debt& debt, device::Fence until) noexcept SLUICE_EXCLUDES(mutex_);

  const OwedRightsParts parts_;
  mutable RankedMutex mutex_{LockRank::parked, "owed rights"};
  std::list<Debt> debts_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t last_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::size_t> count_{0};
};

}  // namespace sluice::engine
