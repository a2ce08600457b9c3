// Home: the location of shared allocations between launches (SLUICE_SHARED).
#pragma once

#include <vector>

#include "context.hpp"

namespace sluice::opencl {

// The launch's allocations that must be on the host when it has ended. It looks at their current
// locations, so it is called before the launch takes them.
[[nodiscard]] std::vector<Allocation> homebound_after(const Context& context,
                                                      const std::vector<Allocation>& used);
// Moves them there once the event is complete, on the context's thread for hints.
void bring_home(Context& context, const std::vector<Allocation>& allocations, cl_event after);

}  // namespace sluice::opencl
