// Reservation: asks for memory of a device until it is there, or until nothing makes room any more.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "engine/contention.hpp"
#include "engine/residency_manager.hpp"
#include "transfer/timelines.hpp"

namespace sluice::engine {

class Relocations;

// Of one request, for all its attempts:
//
//   attempt(), under the claims of the blocks. All have an allocation: done. Otherwise give up the claims;
//   if await() says that an attempt is worth it, start again;
//   if relocate() succeeds, start again; its error is the request's.
class Reservation {
 public:
  Reservation(ResidencyManager& residency, const transfer::Timelines& timelines,
              int device) noexcept
      : residency_(residency), timelines_(timelines), device_(device) {}

  [[nodiscard]] Result<Provision> attempt(std::span<const AllocationRequest> blocks,
                                          RoomRequest room_request = {});

  // True if a kernel or another thread is in the way, and others have not been for too long.
  [[nodiscard]] bool can_wait(const Provision& provision) const noexcept;
  // Waits for them, if can_wait(). An error is that of the wait for the kernel: timed_out,
  // interrupted, or the kernel's own, which its launcher gets.
  Result<void> wait(const Provision& provision, const device::Wait& how = {}) noexcept;

  // The last resort: mapped memory of others leaves, until `need` more bytes are free.
  [[nodiscard]] Result<void> relocate(Relocations& relocations, std::size_t need);

 private:
  ResidencyManager& residency_;
  const transfer::Timelines& timelines_;
  const int device_;
  contention::Wait others_;
  std::optional<device::Clock::time_point>
      relocation_deadline_;  // of relocations; set by the first
};

}  // namespace sluice::engine
