// SpirvRebasePlan: the parts of one module that change when it is rebased (spirv_rebase.hpp).
#pragma once

#ifdef SLUICE_SPIRV_TOOLS

#include <map>
#include <set>
#include <spirv/unified1/spirv.hpp11>
#include <string>

#include "spirv_rebase.hpp"
#include "spirv_writer.hpp"

namespace sluice::opencl {

// Functions with a body, by the names by which modules find each other's.
using SpirvNames = std::set<std::string, std::less<>>;
void note_exports(const SpirvModule& module, SpirvNames& names);

// Null if the id is no pointer.
[[nodiscard]] const SpirvInstruction* pointer_type(const SpirvModule& module,
                                                   std::uint32_t id) noexcept;
[[nodiscard]] bool is_pointer_to(const SpirvModule& module, std::uint32_t id,
                                 spv::StorageClass where) noexcept;

struct SpirvRebasePlan {
  struct Entry {
    RebasedKernel kernel;
    std::map<std::uint32_t, std::uint32_t> given;  // a pointer, and the parameter it comes by
  };
  std::map<std::uint32_t, Entry> entries;          // by function
  std::set<std::uint32_t> rebased;                 // functions that get the buffer's place
  std::map<std::uint32_t, std::uint32_t> renamed;  // all that are given
  std::uint32_t opencl_set = 0;                    // of extended instructions
  bool has_int64 = false;
  const char* refusal = nullptr;  // why it cannot be rebased

  // It names another function as one of the kernels is named.
  [[nodiscard]] bool names_like_kernel(const SpirvInstruction& one) const;
};

// `exported`: of all modules of the program.
[[nodiscard]] SpirvRebasePlan plan_rebasing(const SpirvModule& module, const SpirvNames& exported,
                                            SpirvDefinitions& added);

}  // namespace sluice::opencl

#endif
