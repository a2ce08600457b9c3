// The pointers by which an instruction of SPIR-V accesses memory.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "spirv_module.hpp"

namespace sluice::opencl {

struct SpirvAccess {
  bool is_known = false;
  std::span<const std::size_t> words;  // of pointers that are dereferenced
};

// Known are loads, stores, copies and atomics, and instructions that only make pointers or pass
// them on. Not those of extended sets, and calls.
[[nodiscard]] SpirvAccess access_of(const SpirvInstruction& instruction) noexcept;

}  // namespace sluice::opencl
