// NVIDIA's GPUs under the conformance suite. Skipped where there is none.
#include "device/conformance.hpp"
#include "device/cuda/cuda_device.hpp"

namespace sluice::device::testing {
namespace {

constexpr std::size_t memory_size = std::size_t{64} << 20;

// With fewer GPUs than devices, devices share one.
Backend cuda_backend() {
  const auto found = cuda::gpus();
  Backend backend;
  backend.name = "Cuda";
  const int count = found ? static_cast<int>(found->size()) : 1;
  backend.open = [count](int number, const HostMemory& host, EventSink& sink) {
    cuda::CudaOptions options;
    options.number = number;
    options.gpu = number % count;
    options.memory_size = memory_size;
    for (int gpu = 0; gpu < count; ++gpu) options.peers.push_back(gpu);
    return cuda::open(options, host, sink);
  };
  if (!found) backend.missing = "no NVIDIA GPU: " + std::string(found.error().detail());
  return backend;
}

INSTANTIATE_TEST_SUITE_P(Gpus, DeviceConformance, ::testing::Values(cuda_backend()),
                         name_of_backend);

}  // namespace
}  // namespace sluice::device::testing
