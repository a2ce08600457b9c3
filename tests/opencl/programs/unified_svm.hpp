// cl_khr_unified_svm for the programs that use it: its values, its functions, and the types of SVM
// of a platform and a device. The headers of OpenCL do not have it everywhere.
#pragma once

#include <cstdint>
#include <optional>

#include "usm.hpp"

namespace unified {

enum : cl_bitfield {
  single_address_space = 1 << 0,
  system_allocated = 1 << 1,
  device_owned = 1 << 2,
  device_unassociated = 1 << 3,
  context_access = 1 << 4,
  host_owned = 1 << 5,
  host_read = 1 << 6,
  host_write = 1 << 7,
  host_map = 1 << 8,
  device_read = 1 << 9,
  device_write = 1 << 10,
  device_atomics = 1 << 11,
  concurrent = 1 << 12,
  concurrent_atomics = 1 << 13,
  indirect = 1 << 14,
};

constexpr cl_platform_info platform_types = 0x0909;
constexpr cl_device_info device_types = 0x1077;
constexpr cl_device_info atom_size = 0x1078;
constexpr cl_kernel_exec_info indirect_access = 0x11BB;

constexpr cl_properties associated_device = 0x2078;
constexpr cl_properties access_flags = 0x2079;
constexpr cl_properties alignment = 0x207A;

constexpr cl_uint info_type_index = 0x2088;
constexpr cl_uint info_capabilities = 0x2089;
constexpr cl_uint info_properties = 0x208A;
constexpr cl_uint info_access_flags = 0x208B;
constexpr cl_uint info_base = 0x419B;
constexpr cl_uint info_size = 0x419C;
constexpr cl_uint info_device = 0x419D;

using Properties = std::vector<cl_properties>;

struct World : usm::World {
  void*(CL_API_CALL* svm_alloc)(cl_context, const cl_properties*, cl_uint, size_t,
                                cl_int*) = nullptr;
  cl_int(CL_API_CALL* svm_free)(cl_context, const cl_properties*, cl_bitfield, void*) = nullptr;
  cl_int(CL_API_CALL* svm_info)(cl_context, cl_device_id, const void*, cl_uint, size_t, void*,
                                size_t*) = nullptr;
  cl_int(CL_API_CALL* suggest)(cl_context, cl_bitfield, cl_bitfield, const cl_properties*, size_t,
                               cl_uint*) = nullptr;
  std::vector<cl_bitfield> of_platform;
  std::vector<cl_bitfield> types;  // of the device

  World() {
    load(svm_alloc, "clSVMAllocWithPropertiesKHR");
    load(svm_free, "clSVMFreeWithPropertiesKHR");
    load(svm_info, "clGetSVMPointerInfoKHR");
    load(suggest, "clGetSVMSuggestedTypeIndexKHR");
    size_t size = 0;
    MUST(clGetPlatformInfo(platform, platform_types, 0, nullptr, &size));
    of_platform.resize(size / sizeof(cl_bitfield));
    MUST(clGetPlatformInfo(platform, platform_types, size, of_platform.data(), nullptr));
    types = types_of(device);
  }

  std::vector<cl_bitfield> types_of(cl_device_id one) const {
    size_t size = 0;
    MUST(clGetDeviceInfo(one, device_types, 0, nullptr, &size));
    std::vector<cl_bitfield> found(size / sizeof(cl_bitfield));
    MUST(clGetDeviceInfo(one, device_types, size, found.data(), nullptr));
    return found;
  }

  bool can(cl_uint type, cl_bitfield capabilities) const {
    return (types[type] & capabilities) == capabilities;
  }
  // The properties that a type needs, and these.
  Properties with_device(cl_uint type, Properties more = {}) const {
    if (!can(type, device_unassociated))
      more.insert(more.begin(), {associated_device, reinterpret_cast<std::uintptr_t>(device)});
    if (!more.empty()) more.push_back(0);
    return more;
  }
  template <typename T>
  T* allocate(cl_uint type, std::size_t count) const {
    const Properties list = with_device(type);
    cl_int status = CL_SUCCESS;
    void* const made =
        svm_alloc(context, list.empty() ? nullptr : list.data(), type, count * sizeof(T), &status);
    MUST(status);
    return static_cast<T*>(made);
  }
  void release(void* pointer) const { MUST(svm_free(context, nullptr, 0, pointer)); }

  template <typename T>
  T answer(cl_device_id about, const void* pointer, cl_uint name) const {
    T value{};
    size_t size = 0;
    MUST(svm_info(context, about, pointer, name, sizeof(value), &value, &size));
    usm::expect(size == sizeof(T), "an answer about a pointer has another size");
    return value;
  }
};

}  // namespace unified
