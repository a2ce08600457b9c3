// NVIDIA GPUs as devices, through the driver's plain memory and virtual-memory calls. docs/cuda.md
// describes how it works.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace sluice::device::cuda {

struct CudaOptions {
  int number = 0;  // 0..63, its name among the devices of one EventSink
  int gpu = 0;     // which GPU, in the driver's order; several devices may share one
  std::size_t memory_size =
      0;  // bytes of it, a multiple of the block size; 0: nine tenths of the free memory
  std::vector<int> peers;  // the GPUs of all devices of the space, this one's too
};

// The machine as the driver sees it.
struct Gpu {
  std::string name;
  std::size_t memory_size = 0;  // bytes
  bool native_atomics = false;  // Traits::native_atomics
};
// unsupported: why there is no driver or no GPU.
[[nodiscard]] Result<std::vector<Gpu>> gpus();

// Keeps the primary contexts of GPUs open. The driver fixes its own addresses when the first
// context is made, and never later reserves addresses that were occupied at that time: contexts
// must exist before a window is looked for.
class Contexts {
 public:
  [[nodiscard]] static Result<Contexts> hold(const std::vector<int>& gpus);
  Contexts(Contexts&& other) noexcept : gpus_(std::exchange(other.gpus_, {})) {}
  Contexts& operator=(Contexts&& other) = delete;
  ~Contexts();

 private:
  Contexts() = default;
  std::vector<int> gpus_;
};

// Opens a device on the GPU's primary context, which the CUDA runtime uses too; about 0.2 s for the
// first. `host` and `sink` outlive the device. Devices opened with the same sink copy from each
// other and share the managed addresses. Errors: invalid_argument (an option, named), busy (the
// number is taken), unsupported (no driver), unknown_device (no such GPU), out_of_host_memory (the
// addresses), out_of_device_memory.
[[nodiscard]] Result<std::unique_ptr<Device>> open(const CudaOptions& options,
                                                   const HostMemory& host, EventSink& sink);

}  // namespace sluice::device::cuda
