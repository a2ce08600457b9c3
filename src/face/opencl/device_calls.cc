// Queries of platforms and devices: the extensions, their capabilities, and a CPU's type as a GPU.
//
// The capabilities claim only properties that hold: where pages move, host and device may not use
// an allocation at the same time, and host allocations move too, because OpenCL has no call by
// which a kernel accesses host memory. Driver features that the device's back end does not support
// are not reported: fine-grain SVM where pages move, SVM at all where pointers in memory mean
// nothing. Cites: the extensions' "Section 4.2 - Querying Devices".
#include <algorithm>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "choice.hpp"
#include "entries.hpp"
#include "info.hpp"
#include "layer.hpp"
#include "options.hpp"
#include "svm_queries.hpp"

namespace sluice::opencl {
namespace {

// The layer's extensions. Where a driver has one of them too, its functions are not called.
constexpr cl_name_version own_extensions[] = {
    {CL_MAKE_VERSION(1, 1, 0), "cl_intel_unified_shared_memory"},
    {CL_MAKE_VERSION(0, 9, 0), "cl_khr_unified_svm"},
};

using Capabilities = cl_device_unified_shared_memory_capabilities_intel;

// Asks the driver for bytes of any length.
template <typename Ask>
cl_int ask(std::vector<char>& bytes, Ask&& query) {
  size_t needed = 0;
  cl_int status = query(0, nullptr, &needed);
  if (status != CL_SUCCESS) return status;
  bytes.resize(needed);
  return needed == 0 ? CL_SUCCESS : query(needed, bytes.data(), nullptr);
}

// Extensions with commands that use managed memory past this layer: the pages would not be on the
// device where these run.
constexpr std::string_view unserved[] = {
    "cl_khr_command_buffer",
    "cl_khr_command_buffer_multi_device",
    "cl_khr_command_buffer_mutable_dispatch",
    "cl_pocl_command_buffer_svm",
    "cl_pocl_svm_rect",
    "cl_arm_shared_virtual_memory",
};
bool is_unserved(std::string_view name) noexcept {
  return std::find(std::begin(unserved), std::end(unserved), name) != std::end(unserved);
}

// An extension of the layer's, or one that extends a driver's function behind a call of it.
bool is_replaced(std::string_view name) noexcept {
  return name == "cl_img_unified_svm_external_memory_dma_buf" ||
         std::any_of(std::begin(own_extensions), std::end(own_extensions),
                     [name](const cl_name_version& own) { return name == own.name; });
}

bool moves(cl_device_id device) { return choose(device).backend != Backend::pass; }

// True if pages move on one of its devices.
bool moves(cl_platform_id platform) {
  std::vector<cl_device_id> devices;
  return find_devices(platform, devices) == CL_SUCCESS &&
         std::any_of(devices.begin(), devices.end(),
                     [](cl_device_id device) { return moves(device); });
}

// Takes away what the layer replaces, and where pages move what it does not serve.
template <typename Object, typename Names, typename NameOf>
void keep_served(Object object, Names& names, NameOf&& name_of) {
  const auto replaced = [&](const auto& one) { return is_replaced(name_of(one)); };
  const auto unserved_here = [&](const auto& one) { return is_unserved(name_of(one)); };
  std::erase_if(names, replaced);
  if (std::any_of(names.begin(), names.end(), unserved_here) && moves(object))
    std::erase_if(names, unserved_here);
}

template <typename Object, typename Ask>
cl_int give_extensions(Object object, size_t size, void* value, size_t* size_ret, Ask&& query) {
  std::vector<char> bytes;
  const cl_int status = ask(bytes, query);
  if (status != CL_SUCCESS) return status;
  std::istringstream text(std::string(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0)));
  std::vector<std::string> names{std::istream_iterator<std::string>(text), {}};
  keep_served(object, names, [](const std::string& name) { return std::string_view(name); });
  for (const cl_name_version& own : own_extensions) names.emplace_back(own.name);
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : " ") + name;
  return give(joined, size, value, size_ret);
}

template <typename Object, typename Ask>
cl_int give_versions(Object object, size_t size, void* value, size_t* size_ret, Ask&& query) {
  std::vector<char> bytes;
  const cl_int status = ask(bytes, query);
  if (status != CL_SUCCESS) return status;
  std::vector<cl_name_version> all(bytes.size() / sizeof(cl_name_version));
  if (!all.empty()) std::memcpy(all.data(), bytes.data(), all.size() * sizeof(cl_name_version));
  keep_served(object, all, [](const cl_name_version& one) { return std::string_view(one.name); });
  all.insert(all.end(), std::begin(own_extensions), std::end(own_extensions));
  return give_bytes(all.data(), all.size() * sizeof(all[0]), size, value, size_ret);
}

Capabilities capabilities(cl_device_id device, cl_device_info which) {
  constexpr Capabilities access = CL_UNIFIED_SHARED_MEMORY_ACCESS_INTEL;
  constexpr Capabilities at_once = access | CL_UNIFIED_SHARED_MEMORY_CONCURRENT_ACCESS_INTEL;
  const SvmFeatures features = features_of(device);
  const cl_device_svm_capabilities svm = features.served();
  Capabilities found = access | CL_UNIFIED_SHARED_MEMORY_ATOMIC_ACCESS_INTEL;
  if (features.backend == Backend::pass) {
    found |= at_once;
    if ((svm & CL_DEVICE_SVM_ATOMICS) != 0)
      found |= CL_UNIFIED_SHARED_MEMORY_CONCURRENT_ATOMIC_ACCESS_INTEL;
  }
  if (which != CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL) return found;
  return (svm & CL_DEVICE_SVM_FINE_GRAIN_SYSTEM) != 0 ? found : 0;
}

bool is_device(cl_device_id device) {
  cl_device_type type = 0;
  return driver().clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof(type), &type, nullptr) ==
         CL_SUCCESS;
}

cl_int CL_API_CALL device_info(cl_device_id device, cl_device_info name, size_t size, void* value,
                               size_t* size_ret) {
  const auto query = [&](size_t n, void* to, size_t* ret) {
    return driver().clGetDeviceInfo(device, name, n, to, ret);
  };
  switch (name) {
    case CL_DEVICE_EXTENSIONS:
      return give_extensions(device, size, value, size_ret, query);
    case CL_DEVICE_EXTENSIONS_WITH_VERSION:
      return give_versions(device, size, value, size_ret, query);
    case CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL:
    case CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL:
    case CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL:
    case CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL:
    case CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL:
      if (!is_device(device)) return CL_INVALID_DEVICE;
      return give(capabilities(device, name), size, value, size_ret);
    case unified_svm::device_types:
      if (!is_device(device)) return CL_INVALID_DEVICE;
      return give_svm_types(device, size, value, size_ret);
    case unified_svm::device_atom_size:
      if (!is_device(device)) return CL_INVALID_DEVICE;
      return give(features_of(device).atom_size(), size, value, size_ret);
    case CL_DEVICE_SVM_CAPABILITIES: {
      cl_device_svm_capabilities svm = 0;
      const cl_int status = query(sizeof(svm), &svm, nullptr);
      if (status != CL_SUCCESS) return status;
      return give(features_of(device).served(), size, value, size_ret);
    }
    case CL_DEVICE_TYPE: {
      if (!options().cpu_as_gpu) break;
      cl_device_type type = 0;
      const cl_int status = query(sizeof(type), &type, nullptr);
      if (status != CL_SUCCESS) return status;
      if ((type & CL_DEVICE_TYPE_CPU) != 0)
        type = (type & ~cl_device_type{CL_DEVICE_TYPE_CPU}) | CL_DEVICE_TYPE_GPU;
      return give(type, size, value, size_ret);
    }
    default:
      break;
  }
  return query(size, value, size_ret);
}

cl_int CL_API_CALL platform_info(cl_platform_id platform, cl_platform_info name, size_t size,
                                 void* value, size_t* size_ret) {
  const auto query = [&](size_t n, void* to, size_t* ret) {
    return driver().clGetPlatformInfo(platform, name, n, to, ret);
  };
  if (name == CL_PLATFORM_EXTENSIONS)
    return give_extensions(platform, size, value, size_ret, query);
  if (name == CL_PLATFORM_EXTENSIONS_WITH_VERSION)
    return give_versions(platform, size, value, size_ret, query);
  if (name == unified_svm::platform_types) return give_svm_types(platform, size, value, size_ret);
  return query(size, value, size_ret);
}

// With a CPU as a GPU, a query for GPUs returns CPUs too, and a query for CPUs returns none.
cl_int CL_API_CALL device_ids(cl_platform_id platform, cl_device_type type, cl_uint count,
                              cl_device_id* devices, cl_uint* count_ret) {
  constexpr cl_device_type cpu = CL_DEVICE_TYPE_CPU;
  if (options().cpu_as_gpu && type != CL_DEVICE_TYPE_ALL) {
    type &= ~cpu;
    if ((type & CL_DEVICE_TYPE_GPU) != 0) type |= cpu;
    if (type == 0) return CL_DEVICE_NOT_FOUND;
  }
  return driver().clGetDeviceIDs(platform, type, count, devices, count_ret);
}

// A function of the extensions in `unserved`, by the words in their names.
bool is_unserved_function(std::string_view name) noexcept {
  const auto has = [name](std::string_view word) { return name.find(word) != name.npos; };
  return has("CommandBuffer") || has("MutableCommand") || name.starts_with("clCommand") ||
         (has("SVM") && (has("Rect") || name.ends_with("ARM")));
}

// False if one of its devices shares memory: that one serves the extension.
bool all_move(cl_platform_id platform) {
  std::vector<cl_device_id> devices;
  return find_devices(platform, devices) == CL_SUCCESS &&
         std::all_of(devices.begin(), devices.end(),
                     [](cl_device_id device) { return moves(device); });
}

void* CL_API_CALL extension_address(const char* name) {
  if (void* const own = name != nullptr ? extension_function(name) : nullptr) return own;
  if (name != nullptr && is_unserved_function(name)) {
    cl_uint count = 0;
    (void)driver().clGetPlatformIDs(0, nullptr, &count);
    std::vector<cl_platform_id> platforms(count);
    (void)driver().clGetPlatformIDs(count, platforms.data(), nullptr);
    if (std::all_of(platforms.begin(), platforms.end(), all_move)) return nullptr;
  }
  return driver().clGetExtensionFunctionAddress(name);
}

void* CL_API_CALL extension_address_for_platform(cl_platform_id platform, const char* name) {
  if (void* const own = name != nullptr ? extension_function(name) : nullptr) return own;
  if (name != nullptr && is_unserved_function(name) && all_move(platform)) return nullptr;
  return driver().clGetExtensionFunctionAddressForPlatform(platform, name);
}

}  // namespace

void override_device_calls(Entries& entries) noexcept {
  entries.set<device_info>(&cl_icd_dispatch::clGetDeviceInfo);
  entries.set<platform_info>(&cl_icd_dispatch::clGetPlatformInfo);
  entries.set<device_ids>(&cl_icd_dispatch::clGetDeviceIDs);
  entries.set<extension_address>(&cl_icd_dispatch::clGetExtensionFunctionAddress);
  entries.set<extension_address_for_platform>(
      &cl_icd_dispatch::clGetExtensionFunctionAddressForPlatform);
}

}  // namespace sluice::opencl
