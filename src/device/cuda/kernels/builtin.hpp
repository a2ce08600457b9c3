// The built-in kernels as the driver loads them; empty where Sluice was built without nvcc.
#pragma once

#include <span>

namespace sluice::device::cuda {

[[nodiscard]] std::span<const unsigned char> builtin_kernels() noexcept;

}  // namespace sluice::device::cuda
