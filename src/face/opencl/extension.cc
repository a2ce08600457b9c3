// The functions of the two extensions by their names, which is how programs get them.
#include "extension.hpp"

#include "entries.hpp"
#include "layer.hpp"

namespace sluice::opencl {

void* extension_function(std::string_view name) noexcept {
  static const NamedEntry functions[] = {
      named_entry<host_mem_alloc>("clHostMemAllocINTEL"),
      named_entry<device_mem_alloc>("clDeviceMemAllocINTEL"),
      named_entry<shared_mem_alloc>("clSharedMemAllocINTEL"),
      named_entry<mem_free>("clMemFreeINTEL"),
      named_entry<mem_blocking_free>("clMemBlockingFreeINTEL"),
      named_entry<mem_alloc_info>("clGetMemAllocInfoINTEL"),
      named_entry<set_pointer_argument>("clSetKernelArgMemPointerINTEL"),
      named_entry<enqueue_mem_set>("clEnqueueMemsetINTEL"),
      named_entry<enqueue_mem_fill>("clEnqueueMemFillINTEL"),
      named_entry<enqueue_memcpy>("clEnqueueMemcpyINTEL"),
      named_entry<enqueue_migrate_mem>("clEnqueueMigrateMemINTEL"),
      named_entry<enqueue_mem_advise>("clEnqueueMemAdviseINTEL"),
      named_entry<svm_alloc_with_properties>("clSVMAllocWithPropertiesKHR"),
      named_entry<svm_free_with_properties>("clSVMFreeWithPropertiesKHR"),
      named_entry<svm_pointer_info>("clGetSVMPointerInfoKHR"),
      named_entry<svm_suggested_type_index>("clGetSVMSuggestedTypeIndexKHR"),
  };
  for (const NamedEntry& function : functions)
    if (function.name == name) return function.address;
  return nullptr;
}

}  // namespace sluice::opencl
