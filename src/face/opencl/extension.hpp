// The functions of cl_intel_unified_shared_memory and cl_khr_unified_svm, by file. Programs get
// them by name through clGetExtensionFunctionAddress*.
#pragma once

#include "objects.hpp"

namespace sluice::opencl {

// allocation_calls.cc
constexpr std::size_t largest_type = sizeof(cl_long16);
constexpr std::size_t largest_alignment = block_size;  // 2 MiB
// 0, or a power of two up to the largest alignment. A line on stderr names another one.
[[nodiscard]] bool is_alignment(std::size_t alignment);
// Of one allocation, in bytes: for one device, or for any of the context's.
[[nodiscard]] std::size_t largest_size(const Context& context, cl_device_id device);
void* CL_API_CALL host_mem_alloc(cl_context context, const cl_mem_properties_intel* properties,
                                 size_t size, cl_uint alignment, cl_int* error);
void* CL_API_CALL device_mem_alloc(cl_context context, cl_device_id device,
                                   const cl_mem_properties_intel* properties, size_t size,
                                   cl_uint alignment, cl_int* error);
void* CL_API_CALL shared_mem_alloc(cl_context context, cl_device_id device,
                                   const cl_mem_properties_intel* properties, size_t size,
                                   cl_uint alignment, cl_int* error);
cl_int CL_API_CALL mem_free(cl_context context, void* pointer);
cl_int CL_API_CALL mem_blocking_free(cl_context context, void* pointer);
cl_int CL_API_CALL mem_alloc_info(cl_context context, const void* pointer, cl_mem_info_intel name,
                                  size_t size, void* value, size_t* size_ret);

// unified_svm_calls.cc
void* CL_API_CALL svm_alloc_with_properties(cl_context context, const cl_properties* properties,
                                            cl_uint type_index, size_t size, cl_int* error);
cl_int CL_API_CALL svm_free_with_properties(cl_context context, const cl_properties* properties,
                                            cl_bitfield flags, void* pointer);
cl_int CL_API_CALL svm_pointer_info(cl_context context, cl_device_id device, const void* pointer,
                                    unified_svm::PointerInfo name, size_t size, void* value,
                                    size_t* size_ret);
cl_int CL_API_CALL svm_suggested_type_index(cl_context context, cl_bitfield required,
                                            cl_bitfield desired, const cl_properties* properties,
                                            size_t size, cl_uint* index);

// kernel_calls.cc
cl_int CL_API_CALL set_pointer_argument(cl_kernel kernel, cl_uint index, const void* pointer);

// copy_calls.cc
cl_int CL_API_CALL enqueue_mem_set(cl_command_queue queue, void* to, cl_int value, size_t size,
                                   cl_uint count, const cl_event* wait_list, cl_event* event);
cl_int CL_API_CALL enqueue_mem_fill(cl_command_queue queue, void* to, const void* pattern,
                                    size_t pattern_size, size_t size, cl_uint count,
                                    const cl_event* wait_list, cl_event* event);
cl_int CL_API_CALL enqueue_memcpy(cl_command_queue queue, cl_bool blocking, void* to,
                                  const void* from, size_t size, cl_uint count,
                                  const cl_event* wait_list, cl_event* event);
// Shared by them and the calls of core SVM. `type`: the event's command type.
[[nodiscard]] cl_int fill(const Queue& known, cl_command_queue queue, void* to, const void* pattern,
                          size_t pattern_size, size_t size, cl_uint count,
                          const cl_event* wait_list, cl_event* event, cl_command_type type);
[[nodiscard]] cl_int copy(const Queue& known, cl_command_queue queue, cl_bool blocking, void* to,
                          const void* from, size_t size, cl_uint count, const cl_event* wait_list,
                          cl_event* event, cl_command_type type);

// hint_calls.cc
cl_int CL_API_CALL enqueue_migrate_mem(cl_command_queue queue, const void* pointer, size_t size,
                                       cl_mem_migration_flags flags, cl_uint count,
                                       const cl_event* wait_list, cl_event* event);
cl_int CL_API_CALL enqueue_mem_advise(cl_command_queue queue, const void* pointer, size_t size,
                                      cl_mem_advice_intel advice, cl_uint count,
                                      const cl_event* wait_list, cl_event* event);
[[nodiscard]] cl_int migrate(const Queue& known, cl_command_queue queue,
                             const std::vector<AddressSpan>& spans, cl_mem_migration_flags flags,
                             cl_uint count, const cl_event* wait_list, cl_event* event,
                             cl_command_type type);
// A command that does nothing but complete when its wait list is complete.
[[nodiscard]] cl_int enqueue_nothing(cl_command_queue queue, cl_uint count,
                                     const cl_event* wait_list, cl_event* event,
                                     cl_command_type type);
// The same, waited for if it is blocking.
[[nodiscard]] cl_int take_turn(cl_command_queue queue, cl_bool blocking, cl_uint count,
                               const cl_event* wait_list, cl_event* event, cl_command_type type);

}  // namespace sluice::opencl
