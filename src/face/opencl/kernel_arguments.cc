// Noting arguments, and kernels for one launch.
//
// A new kernel of a built program costs NVIDIA's driver 0.3 us and a call for each argument, so it
// is made for each launch that needs one, and nothing is shared between threads. What it does not
// do: carry over exec info, which launches set anyway.
#include "kernel_arguments.hpp"

#include <algorithm>
#include <string>

#include "layer.hpp"

namespace sluice::opencl {

KernelArguments::Argument& KernelArguments::at(cl_uint index) {
  if (index >= arguments_.size()) arguments_.resize(index + 1);
  return arguments_[index];
}

void KernelArguments::set_value(cl_uint index, std::size_t size, const void* value) {
  Argument& argument = at(index);
  argument.is_set = true;
  argument.is_pointer = false;
  argument.size = size;
  const auto* const bytes = static_cast<const std::byte*>(value);
  argument.value.assign(bytes, bytes + (bytes == nullptr ? 0 : size));
}

void KernelArguments::set_pointer(cl_uint index, const void* pointer, cl_mem buffer) {
  Argument& argument = at(index);
  argument.buffer = buffer;
  argument.is_set = argument.is_pointer = argument.was_pointer = true;
  argument.pointer = pointer;
}

bool KernelArguments::need_new_kernel() const noexcept {
  return std::any_of(arguments_.begin(), arguments_.end(), [](const Argument& argument) {
    return argument.was_pointer && !argument.is_pointer;
  });
}

std::string name_of(cl_kernel kernel) {
  size_t size = 0;
  driver().clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, 0, nullptr, &size);
  std::string name(size, 0);
  driver().clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, size, name.data(), nullptr);
  while (!name.empty() && name.back() == 0) name.pop_back();
  return name;
}

cl_kernel KernelArguments::make_kernel(cl_kernel like, cl_int& status) const {
  cl_program program = nullptr;
  driver().clGetKernelInfo(like, CL_KERNEL_PROGRAM, sizeof(program), &program, nullptr);
  const cl_kernel kernel = driver().clCreateKernel(program, name_of(like).c_str(), &status);
  if (kernel == nullptr) return nullptr;
  for (cl_uint index = 0; index < arguments_.size() && status == CL_SUCCESS; ++index) {
    const Argument& argument = arguments_[index];
    if (!argument.is_set) continue;
    if (argument.is_pointer)
      status = driver().clSetKernelArgSVMPointer(kernel, index, argument.pointer);
    else
      status = driver().clSetKernelArg(kernel, index, argument.size,
                                       argument.value.empty() ? nullptr : argument.value.data());
  }
  if (status == CL_SUCCESS) return kernel;
  driver().clReleaseKernel(kernel);
  return nullptr;
}

cl_kernel KernelArguments::make_rebased(cl_program program, const RebasedKernel& like,
                                        const device::opencl::CommonBuffer& common,
                                        cl_int& status) const {
  const cl_kernel kernel = driver().clCreateKernel(program, like.name.c_str(), &status);
  if (kernel == nullptr) return nullptr;
  const auto set = [&](cl_uint index, std::size_t size, const void* value) {
    if (status == CL_SUCCESS) status = driver().clSetKernelArg(kernel, index, size, value);
  };
  std::vector<cl_ulong> pointers;
  for (cl_uint index = 0; index < like.parameters; ++index) {
    const Argument argument = index < arguments_.size() ? arguments_[index] : Argument{};
    const bool is_moved =
        std::find(like.moved.begin(), like.moved.end(), index) != like.moved.end();
    if (is_moved) pointers.push_back(argument.is_pointer ? Address::of(argument.pointer).value : 0);
    if (!argument.is_set) continue;
    if (!argument.is_pointer)
      set(index, argument.size, argument.value.empty() ? nullptr : argument.value.data());
    else if (is_moved)
      set(index, sizeof(cl_mem), nullptr);
    else if (argument.buffer == nullptr && argument.pointer != nullptr)
      status = CL_INVALID_ARG_VALUE;  // constant memory, where no buffer can begin
    else
      set(index, sizeof(cl_mem), argument.buffer == nullptr ? nullptr : &argument.buffer);
  }
  cl_uint index = like.parameters;
  const cl_ulong begin = common.span.begin.value;
  const cl_ulong size = common.span.size;
  set(index++, sizeof(cl_mem), &common.buffer);
  set(index++, sizeof(begin), &begin);
  set(index++, sizeof(size), &size);
  for (const cl_ulong pointer : pointers) set(index++, sizeof(pointer), &pointer);
  if (status == CL_SUCCESS) return kernel;
  driver().clReleaseKernel(kernel);
  return nullptr;
}

LaunchedKernel::LaunchedKernel(cl_kernel kernel, const KernelArguments& arguments)
    : kernel_(kernel) {
  if (arguments.need_new_kernel()) own_ = arguments.make_kernel(kernel, status_);
}

// The enqueued command keeps it.
LaunchedKernel::~LaunchedKernel() {
  if (own_ != nullptr) driver().clReleaseKernel(own_);
}

}  // namespace sluice::opencl
