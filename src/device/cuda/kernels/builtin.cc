// The image of the built-in kernels, as nvcc made it, inside the library. What it does not do:
// choose between images; the driver finds the GPU's own code in the one image, or compiles the
// portable one.
#include "device/cuda/kernels/builtin.hpp"

#include "base/embedded.hpp"
#include "os/environment.hpp"

#ifdef SLUICE_CUDA_IMAGE
SLUICE_EMBED(sluice_cuda_image, SLUICE_CUDA_IMAGE)
#endif

namespace sluice::device::cuda {

std::span<const unsigned char> builtin_kernels() noexcept {
#ifdef SLUICE_CUDA_IMAGE
  return SLUICE_EMBEDDED(sluice_cuda_image);
#else
  return {};
#endif
}

const char* builtin_kernels_file() noexcept { return os::environment("SLUICE_CUDA_KERNELS"); }

}  // namespace sluice::device::cuda
