// The kernels that every module of the stand-in driver has: those of src/device/cuda/kernels by
// name and meaning, and some with parameters as programs have them.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "cuda_face/fake_driver/gpu_view.hpp"

namespace sluice::fake_cuda {

// A launch's parameters, laid out as a compiler would.
class Parameters {
 public:
  template <typename T>
  [[nodiscard]] T at(std::size_t offset) const {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }
  std::vector<std::byte> bytes;
};

struct Parameter {
  std::size_t offset;
  std::size_t size;
};

struct Kernel {
  std::string_view name;
  std::vector<Parameter> parameters;
  void (*run)(GpuView& gpu, const Parameters& parameters);
};

[[nodiscard]] const std::vector<Kernel>& all_kernels();

}  // namespace sluice::fake_cuda
