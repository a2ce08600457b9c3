// Making a rebased program: its modules are rewritten, and compiled and linked as the program's own
// were.
//
// It is made at the first launch that needs it, because few programs do and each costs the driver a
// second compilation. It lives as long as the program.
#include "rebased_program.hpp"

#include <algorithm>

#include "layer.hpp"

namespace sluice::opencl {
namespace {

using device::opencl::driver_failed;

// Owns programs until they are linked.
struct ProgramList {
  std::vector<cl_program> all;
  ProgramList() = default;
  ProgramList(const ProgramList&) = delete;
  ProgramList& operator=(const ProgramList&) = delete;
  ~ProgramList() {
    for (cl_program one : all) driver().clReleaseProgram(one);
  }
};

Result<cl_program> make_one(const Context& context, const std::vector<std::uint32_t>& words) {
  cl_int status = CL_SUCCESS;
  const cl_program made = driver().clCreateProgramWithIL(
      context.handle(), words.data(), words.size() * sizeof(words.front()), &status);
  if (made == nullptr) return driver_failed(status, "clCreateProgramWithIL");
  return made;
}

Result<cl_program> build(const Context& context, const std::vector<std::uint32_t>& words,
                         const std::string& options) {
  SLUICE_ASSIGN(program, make_one(context, words));
  const cl_int status = driver().clBuildProgram(program, 1, context.devices().data(),
                                                options.c_str(), nullptr, nullptr);
  if (status == CL_SUCCESS) return program;
  driver().clReleaseProgram(program);
  return driver_failed(status, "clBuildProgram");
}

Result<cl_program> link(const Context& context,
                        const std::vector<std::vector<std::uint32_t>>& modules,
                        const std::string& options) {
  ProgramList compiled;
  cl_int status = CL_SUCCESS;
  for (const std::vector<std::uint32_t>& words : modules) {
    SLUICE_ASSIGN(program, make_one(context, words));
    compiled.all.push_back(program);
    status = driver().clCompileProgram(program, 1, context.devices().data(), nullptr, 0, nullptr,
                                       nullptr, nullptr, nullptr);
    if (status != CL_SUCCESS) return driver_failed(status, "clCompileProgram");
  }
  const cl_program linked = driver().clLinkProgram(
      context.handle(), 1, context.devices().data(), options.c_str(),
      static_cast<cl_uint>(compiled.all.size()), compiled.all.data(), nullptr, nullptr, &status);
  if (status == CL_SUCCESS) return linked;
  if (linked != nullptr) driver().clReleaseProgram(linked);
  return driver_failed(status, "clLinkProgram");
}

}  // namespace

RebasedProgram::~RebasedProgram() {
  if (handle_ != nullptr) driver().clReleaseProgram(handle_);
}

const RebasedKernel* RebasedProgram::find(std::string_view kernel) const noexcept {
  const auto found = std::find_if(kernels_.begin(), kernels_.end(),
                                  [&](const RebasedKernel& one) { return one.name == kernel; });
  return found == kernels_.end() ? nullptr : &*found;
}

Result<std::shared_ptr<RebasedProgram>> RebasedProgram::make(const Program& program,
                                                             const std::string& options,
                                                             const Context& context) {
  const auto modules = modules_of(program.parts);
  if (modules.empty()) return fail(ErrorCode::unsupported, "its program is not all of SPIR-V");
  SLUICE_ASSIGN(rebased, rebase(modules));
  std::shared_ptr<RebasedProgram> made(new RebasedProgram);
  SLUICE_ASSIGN(handle, program.is_linked ? link(context, rebased.modules, options)
                                          : build(context, rebased.modules.front(), options));
  made->handle_ = handle;
  made->kernels_ = std::move(rebased.kernels);
  return made;
}

Result<std::shared_ptr<const RebasedProgram>> RebasedProgram::of(Program& program,
                                                                 cl_program handle,
                                                                 const Context& context) {
  {
    MutexLock lock(program.mutex);
    if (program.rebased != nullptr) return program.rebased;
  }
  SLUICE_ASSIGN(made, make(program, options_of(handle, context.devices().front()), context));
  MutexLock lock(program.mutex);
  // Another thread may have been faster, and variables must be one program's.
  if (program.rebased == nullptr) program.rebased = std::move(made);
  return program.rebased;
}

bool shares_with_followers(Program& program) {
  {
    MutexLock lock(program.mutex);
    if (program.shares_with_followers) return *program.shares_with_followers;
  }
  const auto modules = modules_of(program.parts);
  bool shares = !modules.empty() && have_shared_variables(modules);
  if (shares) {
    const std::vector<std::string> kernels = kernels_of(modules);
    shares = std::any_of(kernels.begin(), kernels.end(), [&](const std::string& kernel) {
      return pointers_of(program.parts, kernel) != Pointers::from_arguments;
    });
  }
  MutexLock lock(program.mutex);
  program.shares_with_followers = shares;
  return shares;
}

bool may_be_rebased(const Kernel& known) {
  return known.context->rebases() && known.program != nullptr &&
         !modules_of(known.program->parts).empty();
}

Result<cl_kernel> rebased_kernel(cl_kernel kernel, Kernel& known,
                                 const KernelArguments& arguments) {
  const Context& context = *known.context;
  SLUICE_ASSIGN(program, RebasedProgram::of(*known.program, program_of(kernel), context));
  const RebasedKernel* const rebased = program->find(name_of(kernel));
  if (rebased == nullptr) return fail(ErrorCode::unsupported, "the program lacks it");
  const device::opencl::CommonBuffer* const common = context.common_buffer();
  if (common == nullptr && !context.is_empty())
    return fail(ErrorCode::unsupported,
                "more is allocated than one buffer has room for (SLUICE_OPENCL_ARENA)");
  const device::opencl::CommonBuffer none;
  cl_int status = CL_SUCCESS;
  const cl_kernel made = arguments.make_rebased(program->handle(), *rebased,
                                                common == nullptr ? none : *common, status);
  if (made == nullptr) return device::opencl::driver_failed(status, "making the kernel");
  return made;
}

}  // namespace sluice::opencl
