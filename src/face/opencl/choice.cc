// Chooses the back end of a device, also by the environment.
//
// SLUICE_OPENCL_BACKEND=pass|svm|addresses|buffers asks for one; if the device does not support it,
// the default choice applies, and the reason says so. A CPU's SVM is the host's own memory, so
// nothing can be laid over it: `svm` needs a device with separate memory. A context of devices with
// different back ends uses one that all of them support: memory laid over the SVM of a device that
// shares the host's would be that device's own, so such a mixture is served by buffers, whatever
// the devices report. Host memory is pinned for devices with memory of their own, unless
// SLUICE_OPENCL_PIN=0 or 1 decides: others gain nothing by it.
#include "choice.hpp"

#include <algorithm>
#include <optional>

#include "device_memory.hpp"
#include "kernel_il.hpp"
#include "layer.hpp"
#include "options.hpp"
#include "svm_trial.hpp"

namespace sluice::opencl {
namespace {

constexpr cl_device_svm_capabilities fine =
    CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_SYSTEM;

bool has_coarse_grain(cl_device_svm_capabilities svm) noexcept {
  return (svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0;
}

// Fine-grain SVM is a driver's claim, which a kernel may disprove; a CPU's coarse-grain SVM proves
// nothing until a kernel confirms it.
bool shares_memory(cl_device_id device, cl_device_type type, cl_device_svm_capabilities svm) {
  using SharedBytes = SvmTrial::SharedBytes;
  if ((svm & fine) != 0) return try_svm(device).sharing != SharedBytes::apart;
  return svm != 0 && (type & CL_DEVICE_TYPE_CPU) != 0 &&
         try_svm(device).sharing == SharedBytes::same;
}

bool leaves_host_side(cl_device_id device) {
  return try_svm(device).host_side != SvmTrial::HostSide::used;
}

// Where pointers in memory are not supported, kernels are analysed.
std::string what_is_read() {
  return reads_il() ? ""
                    : "; SPIR-V is not read (the layer was built without SPIRV-Tools): its kernels "
                      "with indirect access are refused";
}

Choice without_svm(cl_device_id device, const std::string& why) {
  if (has_device_memory(device))
    return {.backend = Backend::addresses,
            .reason = why +
                      ", but buffers with device addresses: pages move; pointers to device "
                      "allocations work in memory, others as arguments only" +
                      what_is_read()};
  const char* const rebased =
      takes_il(device) ? ", those of SPIR-V all pointers (they are rebased)" : "";
  return {.backend = Backend::buffers,
          .reason = why + ": pages move; kernels get pointers as arguments only" + rebased +
                    what_is_read()};
}

Choice by_capabilities(cl_device_id device, cl_device_type type, cl_device_svm_capabilities svm) {
  if (shares_memory(device, type, svm))
    return {.backend = Backend::pass,
            .reason = (svm & fine) != 0 ? "fine-grain SVM: host and device share memory"
                                        : "a CPU with SVM: host and device share memory"};
  if (!has_coarse_grain(svm)) return without_svm(device, "no SVM");
  if (!leaves_host_side(device))
    return without_svm(device, "SVM whose host side the driver uses by itself");
  return {.backend = Backend::svm,
          .reason = "coarse-grain SVM: pages move; pointers in memory work"};
}

bool can(Backend backend, cl_device_id device, cl_device_type type,
         cl_device_svm_capabilities svm) {
  switch (backend) {
    case Backend::pass:
      return shares_memory(device, type, svm);
    case Backend::svm:
      return has_coarse_grain(svm) && leaves_host_side(device);
    case Backend::addresses:
      return has_device_memory(device);
    case Backend::buffers:
      return true;
  }
  return false;
}

}  // namespace

std::string_view to_string(Backend backend) noexcept {
  switch (backend) {
    case Backend::pass:
      return "pass";
    case Backend::svm:
      return "svm";
    case Backend::addresses:
      return "addresses";
    case Backend::buffers:
      return "buffers";
  }
  return "?";
}

cl_device_type type_of(cl_device_id device) noexcept {
  cl_device_type type = 0;
  driver().clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof(type), &type, nullptr);
  return type;
}

cl_device_svm_capabilities svm_of(cl_device_id device) noexcept {
  cl_device_svm_capabilities svm = 0;
  const cl_int status =
      driver().clGetDeviceInfo(device, CL_DEVICE_SVM_CAPABILITIES, sizeof(svm), &svm, nullptr);
  return status == CL_SUCCESS ? svm : 0;
}

namespace {

Choice choose_backend(cl_device_id device) {
  const cl_device_type type = type_of(device);
  const cl_device_svm_capabilities svm = svm_of(device);
  Choice choice = by_capabilities(device, type, svm);
  const std::optional<Backend> wanted = options().backend;
  if (!wanted || *wanted == choice.backend) return choice;
  const std::string word = "SLUICE_OPENCL_BACKEND=" + std::string(to_string(*wanted));
  if (can(*wanted, device, type, svm)) return {.backend = *wanted, .reason = word};
  choice.reason += "; " + word + " is not possible here";
  return choice;
}

bool has_memory_of_its_own(cl_device_id device) {
  if ((type_of(device) & CL_DEVICE_TYPE_CPU) != 0) return false;
  cl_bool unified = CL_FALSE;
  const cl_int status = driver().clGetDeviceInfo(device, CL_DEVICE_HOST_UNIFIED_MEMORY,
                                                 sizeof(unified), &unified, nullptr);
  return status != CL_SUCCESS || unified == CL_FALSE;
}

}  // namespace

Choice choose(cl_device_id device) {
  Choice choice = choose_backend(device);
  if (choice.backend == Backend::pass) return choice;
  choice.pins = options().pins.value_or(has_memory_of_its_own(device));
  choice.reason += choice.pins ? "; host memory is pinned" : "; host memory is not pinned";
  return choice;
}

Backend choose_for_all(const std::vector<cl_device_id>& devices) {
  std::vector<Backend> choices;
  for (cl_device_id device : devices) choices.push_back(choose(device).backend);
  const auto first = choices.front();
  const bool same = std::all_of(choices.begin(), choices.end(),
                                [first](Backend choice) { return choice == first; });
  // A buffer has an address on each device, and a pointer is one.
  if (same && (first != Backend::addresses || devices.size() == 1)) return first;
  return Backend::buffers;
}

bool takes_il(cl_device_id device) {
  size_t size = 0;
  if (!reads_il()) return false;
  if (driver().clGetDeviceInfo(device, CL_DEVICE_IL_VERSION, 0, nullptr, &size) != CL_SUCCESS)
    return false;
  std::string names(size, 0);
  driver().clGetDeviceInfo(device, CL_DEVICE_IL_VERSION, size, names.data(), nullptr);
  return names.find("SPIR-V_") != std::string::npos;
}

}  // namespace sluice::opencl
