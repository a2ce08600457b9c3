// RebasedProgram: a second program of the same SPIR-V whose kernels may follow pointers, where
// managed memory is in buffers (spirv_rebase.hpp).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "objects.hpp"
#include "spirv_rebase.hpp"

namespace sluice::opencl {

class RebasedProgram {
 public:
  // The program's, made when it is first asked for; `handle` is the driver's. Errors: unsupported,
  // with the reason; system: the driver's refusal.
  [[nodiscard]] static Result<std::shared_ptr<const RebasedProgram>> of(Program& program,
                                                                        cl_program handle,
                                                                        const Context& context);
  RebasedProgram(const RebasedProgram&) = delete;
  RebasedProgram& operator=(const RebasedProgram&) = delete;
  ~RebasedProgram();

  [[nodiscard]] cl_program handle() const noexcept { return handle_; }
  // Null if there is none of that name.
  [[nodiscard]] const RebasedKernel* find(std::string_view kernel) const noexcept;

 private:
  RebasedProgram() = default;
  [[nodiscard]] static Result<std::shared_ptr<RebasedProgram>> make(const Program& program,
                                                                    const std::string& options,
                                                                    const Context& context);

  cl_program handle_ = nullptr;
  std::vector<RebasedKernel> kernels_;
};

// True if a kernel's program can be rebased, as far as is known before it is.
[[nodiscard]] bool may_be_rebased(const Kernel& kernel);
// A kernel of the rebased program with these arguments, owned by the caller. Errors: as above, and
// unsupported where an allocation is not in the common buffer.
[[nodiscard]] Result<cl_kernel> rebased_kernel(cl_kernel handle, Kernel& kernel,
                                               const KernelArguments& arguments);

// True if kernels of a program share variables and one of them may follow pointers: then all must
// run in the rebased program, or they would not find what the others stored.
[[nodiscard]] bool shares_with_followers(Program& program);

}  // namespace sluice::opencl
