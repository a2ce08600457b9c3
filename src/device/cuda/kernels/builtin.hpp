// The built-in kernels as the driver loads them: those of the file that SLUICE_CUDA_KERNELS names,
// or those that nvcc made with this library. Empty: there are none, or the file cannot be read.
#pragma once

#include <span>

namespace sluice::device::cuda {

[[nodiscard]] std::span<const unsigned char> builtin_kernels() noexcept;

}  // namespace sluice::device::cuda
