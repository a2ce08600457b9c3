// The image of the built-in kernels, as nvcc made it, inside the library, or a file in its place
// for a library that was built without nvcc. What it does not do: choose between images; the driver
// finds the GPU's own code in the one image, or compiles the portable one.
#include "device/cuda/kernels/builtin.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "base/embedded.hpp"
#include "os/environment.hpp"
#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"

#ifdef SLUICE_CUDA_IMAGE
SLUICE_EMBED(sluice_cuda_image, SLUICE_CUDA_IMAGE)
#endif

namespace sluice::device::cuda {
namespace {

os::OwnedFd open_file(const char* path) {
  const os::NewDescriptors making;
  return os::OwnedFd(::open(path, O_RDONLY | O_CLOEXEC));
}

// With a zero after it, as the driver wants text.
std::vector<unsigned char> read_image(const char* path) {
  std::vector<unsigned char> bytes;
  const os::OwnedFd file = open_file(path);
  std::array<unsigned char, 1 << 16> part;
  while (file.is_open()) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    bytes.insert(bytes.end(), part.begin(), part.begin() + got);
  }
  if (!bytes.empty()) bytes.push_back(0);
  return bytes;
}

}  // namespace

std::span<const unsigned char> builtin_kernels() noexcept {
  if (const char* const path = os::environment("SLUICE_CUDA_KERNELS"); path != nullptr) {
    static const std::vector<unsigned char> file = read_image(path);
    return file;
  }
#ifdef SLUICE_CUDA_IMAGE
  return SLUICE_EMBEDDED(sluice_cuda_image);
#else
  return {};
#endif
}

}  // namespace sluice::device::cuda
