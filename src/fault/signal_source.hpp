// SignalSource: access faults by page protection and SIGSEGV, answered in the thread that faults.
// Grade `signal`.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "fault/fault_source.hpp"
#include "fault/guard_window.hpp"
#include "fault/protected_view.hpp"
#include "fault/signal_in_handler.hpp"
#include "os/fork_guard.hpp"

namespace sluice::fault {

class SignalSource final : public FaultSource, private in_handler::Answerer {
 public:
  // `why`: the reason why no better source is in force. Errors: out_of_host_memory.
  [[nodiscard]] static Result<std::unique_ptr<SignalSource>> start(std::string why,
                                                                   os::HostMemory& memory,
                                                                   Resolver& resolver);
  ~SignalSource() override;

  Grade grade() const noexcept override { return Grade::signal; }
  const std::string& reason() const noexcept override { return reason_; }
  bool can_share() const noexcept override { return true; }

  Result<void> watch(AddressSpan view) override { return view_->watch(view); }
  void unwatch(AddressSpan view) noexcept override;
  Result<void> grant(AddressSpan span, Access access) noexcept override {
    return view_->grant(span, access);
  }
  // Linux refills a missing entry by itself here, with the page's protection.
  Result<void> restore(AddressSpan page, AddressSpan, Access access) noexcept override {
    return view_->grant(page, access);
  }
  Result<void> downgrade(AddressSpan span) noexcept override { return view_->downgrade(span); }
  Result<void> revoke(AddressSpan span) noexcept override { return view_->revoke(span); }
  void wake(AddressSpan span) noexcept override;
  Result<void> deny(AddressSpan span) noexcept override;
  Result<void> allow(AddressSpan span) noexcept override { return view_->allow(span); }
  void deny_everything() noexcept override;

 private:
  SignalSource(std::string reason, std::unique_ptr<ProtectedView> view, os::HostMemory& memory,
               Resolver& resolver) noexcept;
  in_handler::Answer answer(const in_handler::Touch& touch) noexcept override;
  [[nodiscard]] in_handler::WaitSlot& waiting_at(Address address) noexcept;

  std::string reason_;
  std::unique_ptr<ProtectedView> view_;
  os::HostMemory& memory_;
  Resolver& resolver_;
  GuardWindow guard_window_;
  os::ProcessMark process_;
  std::array<in_handler::WaitSlot, 256> waiting_;  // threads that wait for a block, by its number
};

}  // namespace sluice::fault
