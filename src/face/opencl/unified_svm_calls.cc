// The four functions of cl_khr_unified_svm: to allocate, to free, to ask about an allocation, to
// suggest a type.
//
// They know allocations of their own and of clSVMAlloc; those of the other extension have calls of
// their own. Errors are found before anything is done, in the order in which the extension lists
// them; only an index that is none comes before "no device supports the type". An alignment may be
// larger than the largest data type, as in every call that allocates. What it does not do: use the
// access flags, which are promises of the program.
#include <algorithm>

#include "extension.hpp"
#include "info.hpp"
#include "layer.hpp"
#include "svm_queries.hpp"

namespace sluice::opencl {
namespace {

using unified_svm::Capabilities;

// "List of supported SVM allocation properties".
struct Properties {
  cl_device_id device = nullptr;
  unified_svm::AccessFlags access = 0;
  std::size_t alignment = 0;
  std::vector<cl_properties> list;  // as given
};

// False: the value is not valid.
bool read_value(const Context& context, cl_properties name, cl_properties value,
                Properties& found) {
  switch (name) {
    case unified_svm::associated_device:
      std::memcpy(&found.device, &value, sizeof(found.device));
      return found.device == nullptr || context.has(found.device);
    case unified_svm::access_flags:
      found.access = value;
      return (value & ~unified_svm::known_access_flags) == 0;
    case unified_svm::alignment:
      found.alignment = value;
      return is_alignment(value);
    default:
      return false;
  }
}

cl_int read_properties(const Context& context, const cl_properties* list, Properties& found) {
  if (list == nullptr) return CL_SUCCESS;
  std::vector<cl_properties> names;
  for (; *list != 0; list += 2) {
    if (std::find(names.begin(), names.end(), list[0]) != names.end()) return CL_INVALID_PROPERTY;
    names.push_back(list[0]);
    if (!read_value(context, list[0], list[1], found)) return CL_INVALID_PROPERTY;
    found.list.insert(found.list.end(), {list[0], list[1]});
  }
  found.list.push_back(0);
  return CL_SUCCESS;
}

// Of the device; null: of all devices of the context that serve the type.
Capabilities capabilities_of(const Context& context, SvmType type, cl_device_id device) {
  if (device != nullptr) return capabilities(type, {context.backend(), svm_of(device)});
  return common_capabilities(type, context.svm_features());
}

// They are kept for the life of the process.
const SvmTypes& types_of(const Context& context) {
  return *svm_types_of(context.devices().front());
}

// The rest is as for a type of the other extension, or of clSVMAlloc.
AllocationRequest request(const Context& context, SvmType type, std::size_t size,
                          const Properties& properties) {
  AllocationRequest asked{
      .device = properties.device,
      .size = size,
      .alignment = properties.alignment == 0 ? largest_type : properties.alignment,
      .svm_flags = CL_MEM_READ_WRITE};
  switch (type) {
    case SvmType::device:
      asked.type = CL_MEM_TYPE_DEVICE_INTEL;
      break;
    case SvmType::shared:
      asked.type = CL_MEM_TYPE_SHARED_INTEL;
      break;
    case SvmType::host:
      asked.type = CL_MEM_TYPE_HOST_INTEL;
      break;
    case SvmType::coarse_buffer:
      break;
    case SvmType::fine_buffer:
    case SvmType::system:
      asked.svm_flags |= CL_MEM_SVM_FINE_GRAIN_BUFFER;
      if ((capabilities_of(context, type, nullptr) & unified_svm::concurrent_atomic_access) != 0)
        asked.svm_flags |= CL_MEM_SVM_ATOMICS;
      break;
  }
  asked.unified = std::make_shared<const UnifiedRequest>(
      UnifiedRequest{type, properties.access, properties.list});
  return asked;
}

cl_int check(const Context& context, const cl_properties* list, cl_uint index, std::size_t size,
             AllocationRequest& asked) {
  Properties properties;
  const cl_int properties_make_sense = read_properties(context, list, properties);
  if (properties_make_sense != CL_SUCCESS) return properties_make_sense;
  const std::optional<SvmType> type = types_of(context).at(index);
  if (!type) return CL_INVALID_VALUE;
  const Capabilities can = capabilities_of(context, *type, properties.device);
  if (can == 0) return CL_INVALID_OPERATION;
  // The property is required, and null is its value where it is missing.
  if (properties.device == nullptr && (can & unified_svm::device_unassociated) == 0)
    return CL_INVALID_PROPERTY;
  if (context.moves() && size > largest_size(context, properties.device))
    return CL_INVALID_BUFFER_SIZE;
  asked = request(context, *type, size, properties);
  return CL_SUCCESS;
}

}  // namespace

void* CL_API_CALL svm_alloc_with_properties(cl_context handle, const cl_properties* properties,
                                            cl_uint type_index, size_t size, cl_int* error) {
  const auto context = objects().contexts.find(handle);
  AllocationRequest asked;
  cl_int status = context == nullptr ? CL_INVALID_CONTEXT
                                     : check(*context, properties, type_index, size, asked);
  void* pointer = nullptr;
  // Nothing is allocated for a size of zero, which is no error.
  if (status == CL_SUCCESS && size != 0) {
    pointer = context->allocate(asked);
    if (pointer == nullptr) status = CL_OUT_OF_RESOURCES;
  }
  if (error != nullptr) *error = status;
  return pointer;
}

cl_int CL_API_CALL svm_free_with_properties(cl_context handle, const cl_properties* properties,
                                            cl_bitfield flags, void* pointer) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr) return CL_INVALID_CONTEXT;
  // The extension defines neither properties nor flags.
  if (properties != nullptr && *properties != 0) return CL_INVALID_PROPERTY;
  if (flags != 0) return CL_INVALID_VALUE;
  if (pointer == nullptr) return CL_SUCCESS;
  const auto found = context->find(pointer);
  if (!found || !found->begins_at(pointer) || found->asked.is_usm()) return CL_INVALID_VALUE;
  return context->free(pointer) ? CL_SUCCESS : CL_INVALID_VALUE;
}

cl_int CL_API_CALL svm_pointer_info(cl_context handle, cl_device_id device, const void* pointer,
                                    unified_svm::PointerInfo name, size_t size, void* value,
                                    size_t* size_ret) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr) return CL_INVALID_CONTEXT;
  if (device != nullptr && !context->has(device)) return CL_INVALID_DEVICE;
  Allocation allocation;
  const auto found = context->find(pointer);
  const bool is_known = found && !found->asked.is_usm();
  if (is_known) allocation = *found;
  const AllocationRequest& asked = allocation.asked;
  static const UnifiedRequest none;
  const UnifiedRequest& unified = asked.unified != nullptr ? *asked.unified : none;
  switch (name) {
    case unified_svm::info_type_index: {
      const cl_uint index = is_known ? types_of(*context).index_of(asked.svm_type()) : CL_UINT_MAX;
      return give(index, size, value, size_ret);
    }
    case unified_svm::info_capabilities: {
      const cl_device_id asked_about = device != nullptr ? device : asked.device;
      const Capabilities can =
          is_known ? capabilities_of(*context, asked.svm_type(), asked_about) : Capabilities{0};
      return give(can, size, value, size_ret);
    }
    case unified_svm::info_properties:
      return give_bytes(unified.properties.data(),
                        unified.properties.size() * sizeof(cl_properties), size, value, size_ret);
    case unified_svm::info_access_flags:
      return give(unified.access, size, value, size_ret);
    case unified_svm::info_base:
      return give(allocation.begin.value, size, value, size_ret);
    case unified_svm::info_size:
      return give(asked.size, size, value, size_ret);
    case unified_svm::info_device:
      return give(asked.device, size, value, size_ret);
    default:
      return CL_INVALID_VALUE;
  }
}

// For all devices of the context, or for the associated one.
cl_int CL_API_CALL svm_suggested_type_index(cl_context handle, cl_bitfield required,
                                            cl_bitfield desired, const cl_properties* properties,
                                            size_t size, cl_uint* index) {
  const auto context = objects().contexts.find(handle);
  if (context == nullptr) return CL_INVALID_CONTEXT;
  Properties found;
  const cl_int properties_make_sense = read_properties(*context, properties, found);
  if (properties_make_sense != CL_SUCCESS) return properties_make_sense;
  if (index == nullptr) return CL_INVALID_VALUE;
  std::vector<SvmFeatures> devices = context->svm_features();
  if (found.device != nullptr) devices = {{context->backend(), svm_of(found.device)}};
  const bool fits = !context->moves() || size <= largest_size(*context, found.device);
  *index = fits ? types_of(*context).suggest(required, desired, devices) : CL_UINT_MAX;
  return CL_SUCCESS;
}

}  // namespace sluice::opencl
