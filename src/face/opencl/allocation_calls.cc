// Allocating, freeing and asking about USM allocations.
//
// Errors are those of the extension's new section "Allocating and Freeing Unified Shared Memory"
// and "Unified Shared Memory Queries", and are found before anything is done, in the order in which
// the section lists them. The section allows alignments up to the largest data type (long16);
// drivers take larger ones and runtimes ask for a page, so larger ones are accepted here too.
#include <algorithm>
#include <bit>

#include "extension.hpp"
#include "info.hpp"
#include "layer.hpp"
#include "os/report.hpp"

namespace sluice::opencl {
namespace {

constexpr cl_mem_alloc_flags_intel placement =
    CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL | CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL;
constexpr cl_mem_alloc_flags_intel known_flags = CL_MEM_ALLOC_WRITE_COMBINED_INTEL | placement;

// "List of Supported cl_mem_properties_intel Properties".
cl_int read_properties(const cl_mem_properties_intel* properties, AllocationRequest& asked) {
  bool seen = false;
  for (; properties != nullptr && *properties != 0; properties += 2) {
    if (properties[0] != CL_MEM_ALLOC_FLAGS_INTEL || seen) return CL_INVALID_PROPERTY;
    seen = true;
    asked.flags = properties[1];
    if ((asked.flags & ~known_flags) != 0) return CL_INVALID_PROPERTY;
  }
  const bool shared = asked.type == CL_MEM_TYPE_SHARED_INTEL;
  if ((asked.flags & placement) != 0 && !shared) return CL_INVALID_PROPERTY;
  return (asked.flags & placement) == placement ? CL_INVALID_PROPERTY : CL_SUCCESS;
}

}  // namespace

bool is_alignment(std::size_t alignment) {
  if (alignment == 0 || (std::has_single_bit(alignment) && alignment <= largest_alignment))
    return true;
  os::report("an alignment of %zu bytes is refused: a power of two up to %zu is possible",
             alignment, largest_alignment);
  return false;
}

std::size_t largest_size(const Context& context, cl_device_id device) {
  cl_ulong smallest = ~cl_ulong{0};
  for (cl_device_id one : context.devices()) {
    if (device != nullptr && one != device) continue;
    cl_ulong most = 0;
    driver().clGetDeviceInfo(one, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most, nullptr);
    smallest = std::min(smallest, most);
  }
  return smallest;
}

namespace {

cl_int check(const std::shared_ptr<Context>& context, const cl_mem_properties_intel* properties,
             cl_uint alignment, AllocationRequest& asked) {
  if (context == nullptr) return CL_INVALID_CONTEXT;
  const bool needs_device = asked.type == CL_MEM_TYPE_DEVICE_INTEL;
  if (asked.device != nullptr ? !context->has(asked.device) : needs_device)
    return CL_INVALID_DEVICE;
  if (!is_alignment(alignment)) return CL_INVALID_VALUE;
  asked.alignment = alignment == 0 ? largest_type : alignment;
  const cl_int properties_make_sense = read_properties(properties, asked);
  if (properties_make_sense != CL_SUCCESS) return properties_make_sense;
  if (asked.size == 0 || asked.size > largest_size(*context, asked.device))
    return CL_INVALID_BUFFER_SIZE;
  return CL_SUCCESS;
}

void* allocate(cl_context handle, const cl_mem_properties_intel* properties, cl_uint alignment,
               AllocationRequest asked, cl_int* error) {
  const auto context = objects().contexts.find(handle);
  cl_int status = check(context, properties, alignment, asked);
  void* pointer = nullptr;
  if (status == CL_SUCCESS) {
    pointer = context->allocate(asked);
    if (pointer == nullptr) status = CL_OUT_OF_RESOURCES;
  }
  if (error != nullptr) *error = status;
  return pointer;
}

cl_int free_allocation(cl_context handle, void* pointer, bool blocking) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr) return CL_INVALID_CONTEXT;
  if (pointer == nullptr) return CL_SUCCESS;
  const auto found = context->find(pointer);
  if (!found || !found->begins_at(pointer) || !found->asked.is_usm()) return CL_INVALID_VALUE;
  if (blocking)
    for (cl_command_queue queue :
         objects().queues.handles([&](const Queue& known) { return known.context == context; }))
      driver().clFinish(queue);
  return context->free(pointer) ? CL_SUCCESS : CL_INVALID_VALUE;
}

}  // namespace

void* CL_API_CALL host_mem_alloc(cl_context context, const cl_mem_properties_intel* properties,
                                 size_t size, cl_uint alignment, cl_int* error) {
  return allocate(context, properties, alignment, {.type = CL_MEM_TYPE_HOST_INTEL, .size = size},
                  error);
}

void* CL_API_CALL device_mem_alloc(cl_context context, cl_device_id device,
                                   const cl_mem_properties_intel* properties, size_t size,
                                   cl_uint alignment, cl_int* error) {
  return allocate(context, properties, alignment,
                  {.type = CL_MEM_TYPE_DEVICE_INTEL, .device = device, .size = size}, error);
}

void* CL_API_CALL shared_mem_alloc(cl_context context, cl_device_id device,
                                   const cl_mem_properties_intel* properties, size_t size,
                                   cl_uint alignment, cl_int* error) {
  return allocate(context, properties, alignment,
                  {.type = CL_MEM_TYPE_SHARED_INTEL, .device = device, .size = size}, error);
}

cl_int CL_API_CALL mem_free(cl_context context, void* pointer) {
  return free_allocation(context, pointer, false);
}

// A kernel with indirect access counts as using every allocation, so all queues of the context are
// waited for.
cl_int CL_API_CALL mem_blocking_free(cl_context context, void* pointer) {
  return free_allocation(context, pointer, true);
}

cl_int CL_API_CALL mem_alloc_info(cl_context handle, const void* pointer, cl_mem_info_intel name,
                                  size_t size, void* value, size_t* size_ret) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr) return CL_INVALID_CONTEXT;
  Allocation allocation;
  const auto found = context->find(pointer);
  if (found && found->asked.is_usm()) allocation = *found;
  switch (name) {
    case CL_MEM_ALLOC_TYPE_INTEL:
      return give(allocation.asked.type, size, value, size_ret);
    case CL_MEM_ALLOC_BASE_PTR_INTEL:
      return give(allocation.begin.value, size, value, size_ret);
    case CL_MEM_ALLOC_SIZE_INTEL:
      return give(allocation.asked.size, size, value, size_ret);
    case CL_MEM_ALLOC_DEVICE_INTEL:
      return give(allocation.asked.device, size, value, size_ret);
    case CL_MEM_ALLOC_FLAGS_INTEL:
      return give(allocation.asked.flags, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace sluice::opencl
