// The entry points that OpenCL's loader looks for (cl_loader_layers, "New API Functions"), and the
// tables.
//
// The loader passes in the calls below and takes ours. Calls of a newer loader that our headers do
// not have stay the driver's: the table that is returned is only as long as ours. The layer costs a
// call through a pointer where it has nothing to do.
#include "layer.hpp"

#include <CL/cl_layer.h>

#include <algorithm>
#include <cstring>

#include "entries.hpp"
#include "os/environment.hpp"
#include "os/uncancelled.hpp"
#include "sluice/export.hpp"

namespace sluice::opencl {
namespace {

constexpr char layer_name[] = "sluice";
cl_icd_dispatch below;
cl_icd_dispatch ours;
bool stands = false;

}  // namespace

const cl_icd_dispatch& driver() noexcept { return below; }
bool is_in_front() noexcept { return stands; }

const cl_icd_dispatch& stand_in_front_of(const cl_icd_dispatch& calls) noexcept {
  stands = true;
  below = calls;
  Entries entries(calls);
  override_object_calls(entries);
  override_device_calls(entries);
  override_program_calls(entries);
  override_kernel_calls(entries);
  override_exec_info_calls(entries);
  override_svm_calls(entries);
  override_host_pointer_calls(entries);
  override_buffer_calls(entries);
  override_event_calls(entries);
  ours = entries.table();
  return ours;
}

}  // namespace sluice::opencl

extern "C" SLUICE_EXPORT CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name,
                                                                        size_t size, void* value,
                                                                        size_t* size_ret) {
  using namespace sluice::opencl;  // NOLINT(google-build-using-namespace): a C function
  constexpr cl_layer_api_version version = CL_LAYER_API_VERSION_100;
  const void* from = nullptr;
  size_t needed = 0;
  if (name == CL_LAYER_API_VERSION) {
    from = &version;
    needed = sizeof(version);
  } else if (name == CL_LAYER_NAME) {
    from = layer_name;
    needed = sizeof(layer_name);
  } else {
    return CL_INVALID_VALUE;
  }
  if (value != nullptr && size < needed) return CL_INVALID_VALUE;
  if (value != nullptr) std::memcpy(value, from, needed);
  if (size_ret != nullptr) *size_ret = needed;
  return CL_SUCCESS;
}

extern "C" SLUICE_EXPORT CL_API_ENTRY cl_int CL_API_CALL
clInitLayer(cl_uint count, const cl_icd_dispatch* target, cl_uint* count_ret,
            const cl_icd_dispatch** table_ret) {
  using namespace sluice::opencl;  // NOLINT(google-build-using-namespace): a C function
  constexpr cl_uint entries = sizeof(cl_icd_dispatch) / sizeof(void*);
  // The layer needs the calls of OpenCL 2.1 (the last one overridden); later ones may be missing.
  constexpr cl_uint needed = offsetof(cl_icd_dispatch, clEnqueueSVMMigrateMem) / sizeof(void*) + 1;
  if (target == nullptr || count_ret == nullptr || table_ret == nullptr || count < needed)
    return CL_INVALID_VALUE;
  const sluice::os::Uncancelled whole_call;
  *count_ret = std::min(count, entries);
  *table_ret = target;
  // It may also be preloaded, and once is enough. And the layer does nothing in a program with
  // raised rights, because its user asked for the layer.
  if (is_in_front() || sluice::os::has_raised_rights()) return CL_SUCCESS;
  cl_icd_dispatch calls{};
  std::memcpy(&calls, target, *count_ret * sizeof(void*));
  *table_ret = &stand_in_front_of(calls);
  return CL_SUCCESS;
}
