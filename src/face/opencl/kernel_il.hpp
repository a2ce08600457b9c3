// The origin of the pointers that a kernel follows, as far as its program's SPIR-V shows.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "kernel_source.hpp"

namespace sluice::opencl {

// True if this build has a reader of SPIR-V. Without one every answer below is `unknown`.
[[nodiscard]] bool reads_il() noexcept;

// Of one entry point, with all the functions that it calls. `modules`: those that its program was
// linked of. A module that the reader refuses, a function that none of them has, and an instruction
// that is not known to be harmless make the answer `unknown`.
[[nodiscard]] Pointers pointers_of_il(const std::vector<std::span<const std::byte>>& modules,
                                      std::string_view kernel);

}  // namespace sluice::opencl
