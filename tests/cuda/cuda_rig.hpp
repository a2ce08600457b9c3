// What tests of spaces on NVIDIA GPUs share. Without a GPU they skip, and say so.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "device/cuda/cuda_device.hpp"
#include "device/cuda/driver.hpp"
#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::cuda_tests {

constexpr std::size_t mib = std::size_t{1} << 20;

template <typename T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(std::string(result.error().detail()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class OnGpus : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto found = device::cuda::gpus();
    if (!found) GTEST_SKIP() << "needs an NVIDIA GPU and its driver: " << found.error().detail();
    gpu_count_ = static_cast<int>(found->size());
  }

  // `devices` devices, on one GPU each as far as there are so many.
  [[nodiscard]] SpaceOptions options(int devices, std::size_t memory_size = 256 * mib) const {
    SpaceOptions options;
    options.software.count = 0;
    for (int device = 0; device < devices; ++device)
      options.cuda.gpus.push_back(device % gpu_count_);
    options.cuda.memory_size = memory_size;
    return options;
  }
  [[nodiscard]] Space open(int devices, std::size_t memory_size = 256 * mib) const {
    return need(Space::open(options(devices, memory_size)));
  }
  // Sets `count` words on a device, and waits.
  static void fill(const Space& space, int device, std::uint32_t* words, std::size_t count,
                   std::uint32_t value) {
    const Queue queue = need(space.queue(device));
    need(need(queue.launch(need(queue.kernel("fill")))
                  .writes(words, count * sizeof *words)
                  .arguments(sluice_soft_fill{words, value})
                  .items(count)
                  .submit())
             .wait());
  }

  int gpu_count_ = 0;
};

}  // namespace sluice::cuda_tests
