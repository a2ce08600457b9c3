// clSetKernelExecInfo: the memory that a kernel may use besides its arguments.
//
// A list replaces the one before. Pointers in it that are null or lie in no allocation have no
// meaning, as cl_khr_unified_svm says, and no driver gets them. Flags say "any allocation of this
// type", or of any type. Cites: the two extensions' sections on kernels.
#include <cstring>

#include "entries.hpp"
#include "layer.hpp"
#include "objects.hpp"

namespace sluice::opencl {
namespace {

TypeMask type_of_flag(cl_kernel_exec_info name) noexcept {
  switch (name) {
    case CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL:
      return type_bit(CL_MEM_TYPE_HOST_INTEL);
    case CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL:
      return type_bit(CL_MEM_TYPE_DEVICE_INTEL);
    case CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL:
      return type_bit(CL_MEM_TYPE_SHARED_INTEL);
    default:
      return 0;
  }
}

// Some drivers accept no empty list: for them the list names any live allocation instead of those
// that may be freed next.
cl_int give_driver(cl_kernel kernel, const Context& context, std::vector<const void*> listed) {
  const auto give = [&] {
    return driver().clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS,
                                        listed.size() * sizeof(void*),
                                        listed.empty() ? nullptr : listed.data());
  };
  const cl_int status = give();
  if (status == CL_SUCCESS || !listed.empty()) return status;
  const std::vector<Allocation> living = context.all(all_types);
  if (!living.empty()) listed.push_back(living.front().base);
  return living.empty() ? CL_SUCCESS : give();
}

cl_int list_pointers(cl_kernel kernel, Kernel& known, size_t size, const void* value) {
  // Of size 0: the list before it is taken back.
  if ((value == nullptr && size != 0) || size % sizeof(void*) != 0) return CL_INVALID_VALUE;
  const auto* const first = static_cast<const void* const*>(value);
  std::vector<const void*> listed(first, first + size / sizeof(void*));
  std::erase_if(listed, [&](const void* one) { return !known.context->find(one); });
  if (!known.context->moves()) {
    const cl_int status = give_driver(kernel, *known.context, listed);
    if (status != CL_SUCCESS) return status;
  }
  MutexLock lock(known.mutex);
  known.exec_info.listed = std::move(listed);
  return CL_SUCCESS;
}

// For allocations of one type, or of all.
cl_int set_flag(Kernel& known, cl_kernel_exec_info name, size_t size, const void* value) {
  if (size != sizeof(cl_bool) || value == nullptr) return CL_INVALID_VALUE;
  cl_bool on = CL_FALSE;
  std::memcpy(&on, value, sizeof(on));
  const TypeMask type = type_of_flag(name);
  MutexLock lock(known.mutex);
  ExecInfo& info = known.exec_info;
  if (name == unified_svm::indirect_access_info)
    info.reaches_all = on != CL_FALSE;
  else
    info.indirect = on != CL_FALSE ? info.indirect | type : info.indirect & ~type;
  return CL_SUCCESS;
}

cl_int CL_API_CALL set_exec_info(cl_kernel kernel, cl_kernel_exec_info name, size_t size,
                                 const void* value) {
  const auto known = objects().kernels.find(kernel);
  if (known == nullptr) return CL_INVALID_KERNEL;
  if (name == CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL || name == CL_KERNEL_EXEC_INFO_SVM_PTRS)
    return list_pointers(kernel, *known, size, value);
  if (name == unified_svm::indirect_access_info || type_of_flag(name) != 0)
    return set_flag(*known, name, size, value);
  return driver().clSetKernelExecInfo(kernel, name, size, value);
}

}  // namespace

void override_exec_info_calls(Entries& entries) noexcept {
  entries.set<set_exec_info>(&cl_icd_dispatch::clSetKernelExecInfo);
}

}  // namespace sluice::opencl
