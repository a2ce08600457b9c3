// Waits for fences, and establishes all that a program may rely on afterwards.
//
// Cost: the wait; one load more where no rights are owed to the host.
// What it does not do: run anything. Kernels end by themselves, or with their device.
#include "engine/fences.hpp"

#include <new>
#include <optional>
#include <vector>

namespace sluice::engine {

device::FenceState Fences::poll(device::Fence fence) const noexcept {
  const device::FenceState state = parts_.timelines.poll(fence);
  if (state != device::FenceState::pending && !parts_.checks.inherited()) parts_.owed.pay_due();
  return state;
}

Result<void> Fences::wait(device::Fence fence, const device::Wait& how) const {
  Result<void> waited = parts_.timelines.wait(fence, how);
  parts_.owed.pay_due();
  if (waited) return waited;
  return parts_.losses.tell<void>(
      tl::unexpected<Error>(parts_.fatal_faults.explain(fence, waited.error())), how);
}

Result<void> Fences::synchronize(const device::Wait& how) const {
  std::vector<device::Fence> fences{parts_.timelines.host.latest()};
  for (const ActiveUse& use : parts_.readiness.latest_launches()) fences.push_back(use.fence);
  Result<void> first;
  for (const device::Fence& fence : fences) {
    Result<void> waited = parts_.timelines.wait(fence, how);
    if (waited) continue;
    const ErrorCode code = waited.error().code();
    if (code == ErrorCode::timed_out || code == ErrorCode::interrupted) return waited;
    if (first) first = tl::unexpected<Error>(parts_.fatal_faults.explain(fence, waited.error()));
  }
  parts_.owed.pay_due();
  return parts_.losses.tell(first, how);
}

void Fences::synchronize_at_end() const noexcept {
  while (const std::optional<ActiveUse> pending = parts_.readiness.pending_launch())
    (void)parts_.timelines.wait(pending->fence, {});
  (void)parts_.timelines.wait(parts_.timelines.host.latest(), {});
  // After a wait that failed, the engine has heard why.
  try {
    for (const ActiveUse& use : parts_.readiness.latest_launches())
      (void)parts_.timelines.wait(use.fence, {});
  } catch (const std::bad_alloc&) {
    return;  // that somebody hears why is not worth the end of the program
  }
}

}  // namespace sluice::engine
