// The layer: OpenCL calls that support managed memory, in front of a driver's.
//
// Each *_calls.cc puts its functions into the table that OpenCL's loader calls (entries.hpp), and
// calls driver() below. Every function may be called from any thread; none holds a lock of the
// layer while it calls the driver or the engine for longer than a look-up.
#pragma once

#include <string_view>

#include "device/opencl/driver.hpp"

namespace sluice::opencl {

class Entries;

// The calls below this layer.
[[nodiscard]] const cl_icd_dispatch& driver() noexcept;
// Puts the layer in front of these calls, and returns the resulting table. Called once in a
// process, before anything else.
[[nodiscard]] const cl_icd_dispatch& stand_in_front_of(const cl_icd_dispatch& calls) noexcept;
[[nodiscard]] bool is_in_front() noexcept;

void override_object_calls(Entries& entries) noexcept;
void override_device_calls(Entries& entries) noexcept;
void override_program_calls(Entries& entries) noexcept;
void override_kernel_calls(Entries& entries) noexcept;
void override_exec_info_calls(Entries& entries) noexcept;
void override_svm_calls(Entries& entries) noexcept;
void override_host_pointer_calls(Entries& entries) noexcept;
void override_buffer_calls(Entries& entries) noexcept;
void override_event_calls(Entries& entries) noexcept;

// A function of cl_intel_unified_shared_memory or cl_khr_unified_svm by its name, or null.
[[nodiscard]] void* extension_function(std::string_view name) noexcept;

}  // namespace sluice::opencl
