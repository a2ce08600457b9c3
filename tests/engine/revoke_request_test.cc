// The tracker is asked about everything that a plan takes from devices. Random requests bring a
// block into random states; for each the plan's steps are compared with what the tracker hears of
// it.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "engine/readiness_tracker.hpp"

namespace sluice::engine {
namespace {

using plan::StepKind;

constexpr int devices = 3;
constexpr std::uint32_t extent = 64;

plan::Request any_request() {
  plan::Request request;
  const int to = *rc::gen::inRange(-1, devices);
  const auto first = *rc::gen::inRange<std::uint32_t>(0, extent);
  request.to = to < 0 ? Location::host() : Location::device(to);
  request.pages =
      PageMask(PageSpan{first, *rc::gen::inRange<std::uint32_t>(1, extent - first + 1)});
  request.access = *rc::gen::element(Access::read, Access::write);
  if (to >= 0) request.means = *rc::gen::element(plan::Means::own, plan::Means::host_mapped);
  return request;
}

// The pages that a step takes from one device.
PageMask taken_from(int device, const plan::Step& step,
                    const directory::BlockDirectory& directory) {
  const directory::Holding& held = directory.holding(Location::device(device));
  switch (step.kind) {
    case StepKind::revoke:
      return step.others.contains(Location::device(device)) ? step.pages & held.readable
                                                            : PageMask();
    case StepKind::downgrade:
      return step.others.contains(Location::device(device)) ? step.pages & held.writable
                                                            : PageMask();
    case StepKind::drop:
      return step.others.contains(Location::device(device)) ? step.pages & held.resident
                                                            : PageMask();
    case StepKind::copy:
      return step.from == Location::device(device) ? step.pages : PageMask();
    default:
      return {};
  }
}

void expect_covered(const plan::Plan& plan, const RevokeRequest& revoke, const Block& taken_block)
    SLUICE_REQUIRES(taken_block.claim) {
  const directory::BlockDirectory& directory = taken_block.state().directory;
  for (const plan::Step& step : plan.steps()) {
    if (step.kind == StepKind::unmap) RC_ASSERT((DeviceSet(step.others) - revoke.unmapped).empty());
    for (int device = 0; device < devices; ++device) {
      if (device == revoke.by_device || revoke.unmapped.contains(device)) continue;
      const PageMask taken = taken_from(device, step, directory);
      if (taken.empty()) continue;
      const AddressSpan span = taken_block.hull_of(taken);
      RC_ASSERT(revoke.span.begin <= span.begin);
      RC_ASSERT(span.end() <= revoke.span.end());
      const bool more_than_writing = step.kind == StepKind::revoke || step.kind == StepKind::drop;
      if (more_than_writing) RC_ASSERT(revoke.access == Access::write);
    }
  }
}

RC_GTEST_PROP(RevokeRequest, covers_all_that_a_plan_takes_from_devices, ()) {
  plan::Abilities abilities;
  abilities.host_can_share = *rc::gen::arbitrary<bool>();
  for (int device = 0; device < devices; ++device)
    if (*rc::gen::arbitrary<bool>()) abilities.recoverable_fault_devices.insert(device);
  Block taken_block(Address{block_size}, extent, directory::HostRights::revocable);
  const ScopedClaim claim(taken_block.claim);
  for (int device = 0; device < devices; ++device) taken_block.admit(device);
  const int requests = *rc::gen::inRange(1, 40);
  for (int i = 0; i < requests; ++i) {
    const plan::Request request = any_request();
    const plan::Plan plan = plan::acquire(taken_block.state().directory, request, abilities);
    expect_covered(plan, revoke_request_for(request, plan, taken_block, abilities), taken_block);
    const MutexLock lock(taken_block.mutex);
    for (const plan::Step& step : plan.steps()) plan::apply(step, taken_block.change().directory);
  }
}

}  // namespace
}  // namespace sluice::engine
