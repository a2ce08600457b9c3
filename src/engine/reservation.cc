// See reservation.hpp. Cost: that of ResidencyManager::provide() for each attempt. What it does not
// do: hold a claim while it waits, or decide what happens when there is no room.
#include "engine/reservation.hpp"

#include <utility>

#include "engine/relocations.hpp"

namespace sluice::engine {

Result<Provision> Reservation::attempt(std::span<const AllocationRequest> blocks,
                                       RoomRequest room_request) {
  others_.begin();
  return residency_.provide(device_, blocks, std::move(room_request));
}

bool Reservation::can_wait(const Provision& provision) const noexcept {
  return provision.obstacle || (provision.contended && !others_.is_over());
}

Result<void> Reservation::wait(const Provision& provision, const device::Wait& how) noexcept {
  if (provision.obstacle) return timelines_.wait(provision.obstacle->fence, how);
  if (provision.contended) others_.wait(how.deadline);
  return {};
}

Result<void> Reservation::relocate(Relocations& relocations, std::size_t need) {
  if (!relocation_deadline_) relocation_deadline_ = relocations.deadline();
  return relocations.make_room(device_, need, *relocation_deadline_);
}

}  // namespace sluice::engine
