// UserfaultfdSource: access faults of the application view, delivered by Linux to threads of ours.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fault/descriptor_keeper.hpp"
#include "fault/fault_source.hpp"
#include "fault/guard_window.hpp"
#include "fault/handler_spin_policy.hpp"
#include "fault/view_rights.hpp"
#include "os/owned_fd.hpp"
#include "os/threads.hpp"

namespace sluice::fault {

class UserfaultfdSource final : public FaultSource {
 public:
  [[nodiscard]] static Result<std::unique_ptr<UserfaultfdSource>> start(os::Userfaultfd userfaultfd,
                                                                        int handler_threads,
                                                                        os::HostMemory& memory,
                                                                        Resolver& resolver);
  // Stops the handlers. Watched views are unwatched by then, or their threads would wait for ever.
  ~UserfaultfdSource() override;

  Grade grade() const noexcept override { return rights_.userfaultfd().grade(); }
  const std::string& reason() const noexcept override { return reason_; }
  bool can_share() const noexcept override { return rights_.userfaultfd().can_share(); }

  Result<void> watch(AddressSpan view) override;
  void unwatch(AddressSpan view) noexcept override { rights_.unwatch(view); }
  Result<void> grant(AddressSpan span, Access access) noexcept override {
    return rights_.grant(span, access);
  }
  Result<void> restore(AddressSpan page, AddressSpan around, Access access) noexcept override {
    return rights_.restore(page, around, access);
  }
  Result<void> downgrade(AddressSpan span) noexcept override { return rights_.downgrade(span); }
  Result<void> revoke(AddressSpan span) noexcept override { return rights_.revoke(span); }
  void wake(AddressSpan span) noexcept override { rights_.wake(span); }
  Result<void> deny(AddressSpan span) noexcept override { return rights_.deny(span); }
  Result<void> allow(AddressSpan span) noexcept override;
  void deny_everything() noexcept override { rights_.deny_everything(); }

 private:
  static constexpr std::size_t batch_limit = 16;
  using Messages = std::array<uffd_msg, batch_limit>;

  UserfaultfdSource(os::Userfaultfd userfaultfd, int handler_threads, os::HostMemory& memory,
                    Resolver& resolver) noexcept;

  void handle_faults() noexcept;
  [[nodiscard]] bool answer_pending() noexcept;
  void answer(std::span<const uffd_msg> messages) noexcept;
  void spin_for_more() noexcept;
  [[nodiscard]] bool wait_for_more() noexcept;
  [[nodiscard]] Result<void> check_heard() const noexcept;
  void give_up(const Error& why) noexcept;

  ViewRights rights_;
  os::HostMemory& memory_;
  Resolver& resolver_;
  os::OwnedFd stop_;  // an eventfd, readable once the handlers are to end
  std::atomic<std::uint64_t> watches_{
      0};  // orders what came before watch() before what a handler does for that view
  std::optional<GuardWindow> guard_window_;  // in grade user
  std::string reason_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> lost_{false};  // faults are no longer delivered
  HandlerSpinPolicy spin_policy_;
  DescriptorKeeper keeper_;
  os::ProcessMark process_;
  std::vector<os::Thread> handlers_;
};

}  // namespace sluice::fault
