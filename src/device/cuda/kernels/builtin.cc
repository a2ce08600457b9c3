// The image of the built-in kernels, as nvcc made it, inside the library, or a file in its place
// for a library that was built without nvcc. What it does not do: choose between images; the driver
// finds the GPU's own code in the one image, or compiles the portable one.
#include "device/cuda/kernels/builtin.hpp"

#include <fstream>
#include <iterator>
#include <vector>

#include "base/embedded.hpp"
#include "os/environment.hpp"

#ifdef SLUICE_CUDA_IMAGE
SLUICE_EMBED(sluice_cuda_image, SLUICE_CUDA_IMAGE)
#endif

namespace sluice::device::cuda {
namespace {

// With a zero after it, as the driver wants text.
std::vector<unsigned char> read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<unsigned char> bytes(std::istreambuf_iterator<char>(file), {});
  if (!bytes.empty()) bytes.push_back(0);
  return bytes;
}

}  // namespace

std::span<const unsigned char> builtin_kernels() noexcept {
  if (const char* const path = os::environment("SLUICE_CUDA_KERNELS"); path != nullptr) {
    static const std::vector<unsigned char> file = read(path);
    return file;
  }
#ifdef SLUICE_CUDA_IMAGE
  return SLUICE_EMBEDDED(sluice_cuda_image);
#else
  return {};
#endif
}

}  // namespace sluice::device::cuda
