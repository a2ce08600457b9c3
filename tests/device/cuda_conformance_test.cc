// NVIDIA's GPUs under the conformance suite. Skipped where there is none.
#include "device/conformance_abilities.hpp"
#include "device/conformance_external.hpp"
#include "device/cuda/cuda_device.hpp"
#include "device/cuda/driver.hpp"

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

// Mappings cost more than memory: what is free and still mapped goes back to where it is mapped.
TEST(CudaMemory, comes_back_where_it_is_mapped) {
  const Backend backend = cuda_backend();
  if (!backend.missing.empty()) GTEST_SKIP() << backend.missing;
  Rig rig(backend);
  const auto use = [&](std::size_t block, std::vector<Allocation>& live) {
    live.push_back(GET(rig->allocate_for(rig.host.at(block * block_size), block_size)));
    rig.finish(rig.map(block * block_size, block_size, rig.on_device(live.back()), Rights::write));
  };
  const auto end = [&](std::size_t block, const Allocation& allocation) {
    rig.finish(rig.map(block * block_size, block_size, rig.on_device(allocation), Rights::none));
    rig->release(allocation);
  };
  std::vector<Allocation> first;
  std::vector<Allocation> again;
  for (std::size_t block = 0; block < 4; ++block) use(block, first);
  for (std::size_t block = 0; block < 4; ++block) end(block, first[block]);
  // Others come between, as many as there is memory for.
  std::vector<Allocation> others;
  for (std::size_t block = 8; block < 12; ++block) use(block, others);
  for (std::size_t block = 0; block < 4; ++block) use(block, again);
  for (std::size_t block = 0; block < 4; ++block)
    EXPECT_EQ(again[block].handle, first[block].handle);
  const std::size_t left = memory_size / block_size - 8;
  for (std::size_t block = 16; block < 16 + left; ++block) use(block, others);
  EXPECT_EQ(code_of(rig->allocate_for(rig.host.at(60 * block_size), block_size)),
            ErrorCode::out_of_device_memory);
  // All of it can be used elsewhere.
  for (std::size_t block = 0; block < 4; ++block) end(block, again[block]);
  for (std::size_t block = 60; block < 64; ++block) use(block, others);
}

INSTANTIATE_TEST_SUITE_P(Gpus, DeviceConformance, ::testing::Values(cuda_backend()),
                         name_of_backend);
INSTANTIATE_TEST_SUITE_P(Gpus, Overflowing, ::testing::Values(cuda_backend()), name_of_backend);

// The program puts a fill of managed memory into the default stream.
ExternalProgram cuda_program() {
  ExternalProgram program;
  program.backend = cuda_backend();
  program.submit = [](Rig& rig) {
    if (rig->memory_in_use() == 0) rig.map_memory(0);
    const cuda::Driver& driver = *GET(cuda::Driver::load());
    cuda::CUcontext context = nullptr;
    EXPECT_EQ(driver.context_retain(&context, 0), cuda::success);
    {
      const cuda::CurrentContext current(driver, context);
      EXPECT_EQ(driver.fill(rig.host.at(0).value, 1, page_size, nullptr), cuda::success);
    }
    (void)driver.context_release(0);
    return ExternalMark{};
  };
  return program;
}
INSTANTIATE_TEST_SUITE_P(Gpus, ExternalConformance, ::testing::Values(cuda_program()),
                         name_of_program);

}  // namespace
}  // namespace sluice::device::testing
