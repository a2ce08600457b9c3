// Builds the error for a kernel that was ended by an access, in strict mode and without it.
//
// Cost: a look-up when a kernel was ended; no other path comes here. What it does not do: end
// kernels (the device does).
#include "engine/fatal_faults.hpp"

#include <new>

#include "engine/undeclared.hpp"

namespace sluice::engine {

Error FatalFaults::explain(device::Fence fence, const Error& error) const try {
  if (error.code() != ErrorCode::device_fault || fence.device < 0) return error;
  const auto fault = parts_.devices[fence.device].fault_of(fence);
  if (!fault) return error;
  const Result<Pin> range = parts_.ranges.find_whole({fault->address, 1});
  if (!range) return error;
  const KernelAccess access{fault->kernel,
                            fence.device,
                            fault->address,
                            fault->access,
                            {(*range)->pages.begin, (*range)->size},
                            (*range)->kind,
                            (*range)->name};
  const auto named = named_by(fence, **range);
  const auto kind = judge(access, named);
  return kind ? describe_end(*kind, access, fault->queue.value, named) : error;
} catch (const std::bad_alloc&) {
  return error;
}

// The parts of a range that a launch names: to the byte in strict mode; else in whole pages, as
// long as the tracker remembers.
std::vector<Use> FatalFaults::named_by(device::Fence fence, Range& range) const {
  const std::vector<ActiveUse> uses = parts_.readiness.uses_by(range, fence);
  // A launch that was entering has noted itself by now.
  if (const auto launch = parts_.strict == nullptr ? nullptr : parts_.strict->find(fence))
    return launch->named;
  std::vector<Use> named;
  for (const ActiveUse& use : uses)
    named.push_back({use.span, use.writes ? Access::write : Access::read});
  return named;
}

}  // namespace sluice::engine
