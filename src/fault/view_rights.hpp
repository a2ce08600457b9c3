// ViewRights: gives and takes rights in the application view's page tables, through userfaultfd.
#pragma once

#include "base/result.hpp"
#include "base/rights.hpp"
#include "base/types.hpp"
#include "os/host_memory.hpp"
#include "os/userfaultfd.hpp"

namespace sluice::fault {

// The part of UserfaultfdSource that has no threads. Members mean the same as FaultSource's members
// of the same names.
class ViewRights {
 public:
  ViewRights(os::Userfaultfd userfaultfd, os::HostMemory& memory) noexcept;

  [[nodiscard]] const os::Userfaultfd& userfaultfd() const noexcept { return userfaultfd_; }

  [[nodiscard]] Result<void> watch(AddressSpan view);
  void unwatch(AddressSpan view) noexcept;
  [[nodiscard]] Result<void> grant(AddressSpan span, Access access) noexcept;
  [[nodiscard]] Result<void> restore(AddressSpan page, AddressSpan around, Access access) noexcept;
  [[nodiscard]] Result<void> downgrade(AddressSpan span) noexcept;
  [[nodiscard]] Result<void> revoke(AddressSpan span) noexcept;
  void wake(AddressSpan span) noexcept { userfaultfd_.wake(span); }
  [[nodiscard]] Result<void> deny(AddressSpan span) noexcept;
  [[nodiscard]] Result<void> allow(AddressSpan span) noexcept;
  // Every access to the window ends in SIGSEGV from now on.
  void deny_everything() noexcept;

 private:
  struct Walk;
  [[nodiscard]] Result<void> check_descriptor() const noexcept;
  void restore_rest(AddressSpan span, std::size_t granule, bool protect) noexcept;
  [[nodiscard]] Result<void> step_past_mapped(Walk& walk) noexcept;
  [[nodiscard]] Result<void> step_over_hole(Walk& walk) noexcept;

  os::Userfaultfd userfaultfd_;
  os::HostMemory& memory_;
  int drop_entries_;  // the advice that drops them: also on locked memory, where the kernel can
  os::ProcessMark process_;
};

}  // namespace sluice::fault
