// The image of the built-in kernels, as nvcc made it, inside the library. What it does not do: choose between images; the driver
// finds the GPU's own code in the one image, or compiles the portable one.
#include "device/cuda/kernels/builtin.hpp"

#ifdef SLUICE_CUDA_IMAGE
asm(".pushsection .rodata\n"
    ".balign 64\n"
    "sluice_cuda_image_begin:\n"
    ".incbin \"" SLUICE_CUDA_IMAGE
    "\"\n"
    "sluice_cuda_image_end:\n"
    ".byte 0\n"
    ".popsection\n");
extern "C" const unsigned char sluice_cuda_image_begin[];
extern "C" const unsigned char sluice_cuda_image_end[];
#endif

namespace sluice::device::cuda {

std::span<const unsigned char> builtin_kernels() noexcept {
#ifdef SLUICE_CUDA_IMAGE
  return {sluice_cuda_image_begin, sluice_cuda_image_end};
#else
  return {};
#endif
}

}  // namespace sluice::device::cuda
