// KernelArguments: a record of a kernel's arguments, for kernels that are made for one launch: of
// rebased programs (rebased_program.hpp), and for drivers that keep stale argument state.
//
// NVIDIA's driver (580.159) refuses to launch a kernel if one of its arguments was a pointer once
// (clSetKernelArgSVMPointer) and is a value now: CL_INVALID_KERNEL_ARGS, whatever is set, in copies
// of the kernel too. A program may do that, so such a launch gets a new kernel of its own with the
// same arguments.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "device/opencl/device_bytes.hpp"
#include "device/opencl/driver.hpp"
#include "spirv_rebase.hpp"

namespace sluice::opencl {

// As the kernel that it belongs to, not to be changed by two threads at once.
class KernelArguments {
 public:
  // Records an argument that was set successfully.
  void set_value(cl_uint index, std::size_t size, const void* value);
  // `buffer`: what the driver got in place of the pointer, if it did.
  void set_pointer(cl_uint index, const void* pointer, cl_mem buffer = nullptr);

  // An argument was a pointer once and is a value now.
  [[nodiscard]] bool need_new_kernel() const noexcept;
  // Another kernel of the same function with these arguments, owned by the caller. Null on failure,
  // with the reason.
  [[nodiscard]] cl_kernel make_kernel(cl_kernel like, cl_int& status) const;
  // A kernel of a rebased program with these arguments, as above.
  [[nodiscard]] cl_kernel make_rebased(cl_program program, const RebasedKernel& like,
                                       const device::opencl::CommonBuffer& common,
                                       cl_int& status) const;

 private:
  struct Argument {
    bool is_set = false;
    bool is_pointer = false;
    bool was_pointer = false;
    const void* pointer = nullptr;
    cl_mem buffer = nullptr;       // in place of the pointer
    std::size_t size = 0;          // of the value
    std::vector<std::byte> value;  // empty: local memory of that size
  };
  [[nodiscard]] Argument& at(cl_uint index);

  std::vector<Argument> arguments_;
};

// The function's.
[[nodiscard]] std::string name_of(cl_kernel kernel);

// A kernel to launch with, which may be one for this launch alone.
class LaunchedKernel {
 public:
  LaunchedKernel(cl_kernel kernel, const KernelArguments& arguments);
  // `own`: made for this launch. Null: `kernel` itself, if `status` is no error.
  LaunchedKernel(cl_kernel kernel, cl_kernel own, cl_int status) noexcept
      : kernel_(kernel), own_(own), status_(status) {}
  LaunchedKernel(const LaunchedKernel&) = delete;
  LaunchedKernel& operator=(const LaunchedKernel&) = delete;
  ~LaunchedKernel();

  [[nodiscard]] cl_int status() const noexcept { return status_; }
  [[nodiscard]] cl_kernel get() const noexcept { return own_ != nullptr ? own_ : kernel_; }

 private:
  cl_kernel kernel_;
  cl_kernel own_ = nullptr;
  cl_int status_ = CL_SUCCESS;
};

}  // namespace sluice::opencl
