// The query of `sluice doctor --opencl` and `sluice bench tradeoff` to the loaded layer.
#include <cstdio>

#include "choice.hpp"
#include "sluice/export.hpp"

// The back end of a device and the reason: "svm: coarse-grain SVM: ...", cut to `size` bytes.
extern "C" SLUICE_EXPORT void sluice_opencl_choice(cl_device_id device, char* text,
                                                   std::size_t size) {
  const sluice::opencl::Choice choice = sluice::opencl::choose(device);
  std::snprintf(text, size, "%s: %s", sluice::opencl::to_string(choice.backend).data(),
                choice.reason.c_str());
}
