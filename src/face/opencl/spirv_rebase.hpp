// Rebasing SPIR-V: kernels that follow pointers to the host's side of managed memory, on a device
// that has it in one buffer somewhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sluice::opencl {

// A kernel of rebased modules. Behind its own parameters it has more: the buffer, the address at
// which the host has the buffer's first byte, the buffer's size, and for each of `moved` a pointer
// as an integer; that parameter is the pointer, unless it is 0 and the parameter itself counts.
struct RebasedKernel {
  std::string name;
  std::uint32_t parameters = 0;      // its own
  std::vector<std::uint32_t> moved;  // those that are pointers to global memory
};

struct RebasedModules {
  std::vector<std::vector<std::uint32_t>> modules;
  std::vector<RebasedKernel> kernels;
};

// `modules`: all that a program is linked of. Errors: unsupported, with the reason.
[[nodiscard]] Result<RebasedModules> rebase(const std::vector<std::span<const std::byte>>& modules);

// True if kernels of a program of these modules share variables, which a program of other modules
// would not have.
[[nodiscard]] bool have_shared_variables(const std::vector<std::span<const std::byte>>& modules);
// The kernels of these modules.
[[nodiscard]] std::vector<std::string> kernels_of(
    const std::vector<std::span<const std::byte>>& modules);

}  // namespace sluice::opencl
