// Which back end serves a device, and what the environment says about it.
//
// SLUICE_OPENCL_BACKEND=pass|svm|buffers asks for one; what the device cannot do falls back to the choice that it would have got,
// and the reason says so. A CPU's SVM is the host's own memory, so nothing can be laid over it: `svm` needs a device apart.
#include "choice.hpp"

#include <optional>

#include "layer.hpp"
#include "options.hpp"

namespace sluice::opencl {
namespace {

constexpr cl_device_svm_capabilities fine =
    CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_SYSTEM;

Choice by_capabilities(cl_device_type type, cl_device_svm_capabilities svm) {
  if ((svm & fine) != 0) return {Backend::pass, "fine-grain SVM: host and device share memory"};
  if (svm != 0 && (type & CL_DEVICE_TYPE_CPU) != 0)
    return {Backend::pass, "a CPU with SVM: host and device share memory"};
  if ((svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0)
    return {Backend::svm, "coarse-grain SVM: pages move; pointers in memory work"};
  return {Backend::buffers, "no SVM: pages move; kernels get pointers as arguments only"};
}

bool can(Backend backend, cl_device_type type, cl_device_svm_capabilities svm) {
  switch (backend) {
    case Backend::pass:
      return by_capabilities(type, svm).backend == Backend::pass;
    case Backend::svm:
      return (svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0 && (type & CL_DEVICE_TYPE_CPU) == 0;
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

Choice choose(cl_device_id device) {
  const cl_device_type type = type_of(device);
  const cl_device_svm_capabilities svm = svm_of(device);
  Choice choice = by_capabilities(type, svm);
  const std::optional<Backend> wanted = options().backend;
  if (!wanted || *wanted == choice.backend) return choice;
  const std::string word = "SLUICE_OPENCL_BACKEND=" + std::string(to_string(*wanted));
  if (can(*wanted, type, svm)) return {*wanted, word};
  choice.reason += "; " + word + " is not possible here";
  return choice;
}

}  // namespace sluice::opencl
