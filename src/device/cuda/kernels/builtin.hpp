// The built-in kernels as the driver loads them; empty where Sluice was built without nvcc.
#pragma once

#include <span>

namespace sluice::device::cuda {

[[nodiscard]] std::span<const unsigned char> builtin_kernels() noexcept;
// The file that SLUICE_CUDA_KERNELS names, to be used instead; null: none.
[[nodiscard]] const char* builtin_kernels_file() noexcept;

}  // namespace sluice::device::cuda
