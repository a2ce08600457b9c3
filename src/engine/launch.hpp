// LaunchState: the state of one launch until it has entered.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "engine/claim.hpp"
#include "engine/owed_rights.hpp"
#include "engine/range.hpp"
#include "engine/requests.hpp"
#include "engine/reservation.hpp"
#include "engine/strict_mode.hpp"

namespace sluice::engine {

struct NamedUse {
  Pin range;
  AddressSpan span;
  Access access = Access::read;
};

// One block that is not ready, and the access that is wanted to it.
struct Target {
  Range* range = nullptr;
  Block* block = nullptr;
  PageMask to_read{};
  PageMask to_write{};  // none of them among those to read
  plan::Means means = plan::Means::own;
  int from = -1;         // another device that has all of what the launch is to write
  bool lasting = false;  // host-mapped for a lasting reason, not for want of room

  [[nodiscard]] PageMask pages() const noexcept { return to_read | to_write; }
  [[nodiscard]] Access access() const noexcept {
    return to_write.empty() ? Access::read : Access::write;
  }
};

struct LaunchState {
  explicit LaunchState(const LaunchRequest& wanted) : request(wanted) {}
  ~LaunchState() { release_claims(); }
  LaunchState(const LaunchState&) = delete;
  LaunchState& operator=(const LaunchState&) = delete;

  void claim(Block& block) {
    claims.emplace_back(block.claim);
    block.claimant.set(this);
    claimed.push_back(&block);
  }
  void release_claims() noexcept {
    for (Block* block : claimed) block->claimant.clear();
    claimed.clear();
    claims.clear();
  }

  // The command for the device, with the fences that come first.
  [[nodiscard]] device::LaunchCommand command(std::span<const device::Fence> first) const {
    device::LaunchCommand command{request.kernel, request.arguments, request.items, first};
    if (granted) [[unlikely]]
      command.granted = *granted;
    return command;
  }

  static constexpr std::size_t most_fences = 8;

  const LaunchRequest& request;
  std::uint64_t link = 0;               // as traces tell it
  std::vector<device::Fence> wait_for;  // of the request, those of its own device
  std::vector<NamedUse>
      uses;               // of the request, or of every shared range once something has to move
  std::size_t named = 0;  // how many of the uses the request names
  // Strict mode: the only memory that the kernel may touch.
  std::optional<std::vector<device::NamedMemory>> granted;
  std::list<std::shared_ptr<LimitedLaunch>> limited;  // one, until the launch is in
  std::vector<Target> targets;  // blocks that were not ready at the last look, by address
  std::vector<Claim> claims;    // on blocks that were made ready, until the launch is in
  std::vector<Block*> claimed;
  std::list<Debt> owed;  // to the host, for rights to bytes that are leased or mapped there
  std::optional<ActiveUse> obstacle;       // a kernel that must end first
  bool queue_is_full = false;              // commands of its queue must end first
  int losses = 0;                          // devices that were lost under it
  std::optional<device::Fence> fence;      // set when the launch is in
  int tries = 0;                           // to make it ready
  std::optional<Reservation> reservation;  // from the first block that lacks memory there
};

}  // namespace sluice::engine
