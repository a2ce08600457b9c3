// The values of cl_khr_unified_svm 0.9.0, which the headers of OpenCL do not have everywhere.
//
// Cites: the extension's "New API Enums".
#pragma once

#include "device/opencl/driver.hpp"

namespace sluice::opencl::unified_svm {

// --- capabilities of a type of SVM ---------------------------------------------------------------

using Capabilities = cl_bitfield;
constexpr Capabilities single_address_space = 1U << 0;
constexpr Capabilities system_allocated = 1U << 1;
constexpr Capabilities device_owned = 1U << 2;
constexpr Capabilities device_unassociated = 1U << 3;
constexpr Capabilities context_access = 1U << 4;
constexpr Capabilities host_owned = 1U << 5;
constexpr Capabilities host_read = 1U << 6;
constexpr Capabilities host_write = 1U << 7;
constexpr Capabilities host_map = 1U << 8;
constexpr Capabilities device_read = 1U << 9;
constexpr Capabilities device_write = 1U << 10;
constexpr Capabilities device_atomic_access = 1U << 11;
constexpr Capabilities concurrent_access = 1U << 12;
constexpr Capabilities concurrent_atomic_access = 1U << 13;
constexpr Capabilities indirect_access = 1U << 14;

// --- properties of an allocation -----------------------------------------------------------------

constexpr cl_properties associated_device = 0x2078;
constexpr cl_properties access_flags = 0x2079;
constexpr cl_properties alignment = 0x207A;

// Promises of the program: the host does not read, or not write; the device does not.
using AccessFlags = cl_bitfield;
constexpr AccessFlags known_access_flags = 1U << 0 | 1U << 1 | 1U << 8 | 1U << 9;

// --- names of queries ----------------------------------------------------------------------------

constexpr cl_platform_info platform_types = 0x0909;
constexpr cl_device_info device_types = 0x1077;
constexpr cl_device_info device_atom_size = 0x1078;
constexpr cl_kernel_exec_info indirect_access_info = 0x11BB;

using PointerInfo = cl_uint;
constexpr PointerInfo info_type_index = 0x2088;
constexpr PointerInfo info_capabilities = 0x2089;
constexpr PointerInfo info_properties = 0x208A;
constexpr PointerInfo info_access_flags = 0x208B;
constexpr PointerInfo info_base = 0x419B;
constexpr PointerInfo info_size = 0x419C;
constexpr PointerInfo info_device = 0x419D;

}  // namespace sluice::opencl::unified_svm
