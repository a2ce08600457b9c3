// Asks the driver for a platform's devices and their SVM.
//
// The list of a platform depends on the back ends of all its devices, so the first question after
// it makes the trial of each of them (svm_trial.hpp): a kernel is built and run, once in a process.
#include "svm_queries.hpp"

#include "device_trials.hpp"
#include "info.hpp"
#include "layer.hpp"

namespace sluice::opencl {
namespace {

cl_int find_types(cl_platform_id platform, std::shared_ptr<const SvmTypes>& types) {
  std::vector<cl_device_id> devices;
  const cl_int status = find_devices(platform, devices);
  if (status != CL_SUCCESS) return status;
  std::vector<SvmFeatures> features;
  for (cl_device_id device : devices) features.push_back(features_of(device));
  types = std::make_shared<const SvmTypes>(features);
  return CL_SUCCESS;
}

std::shared_ptr<const SvmTypes> types_of_platform_of(cl_device_id device) {
  cl_platform_id platform = nullptr;
  driver().clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof(platform), &platform, nullptr);
  std::shared_ptr<const SvmTypes> types;
  if (find_types(platform, types) == CL_SUCCESS) return types;
  return std::make_shared<const SvmTypes>(std::vector{features_of(device)});
}

cl_int give(const std::vector<unified_svm::Capabilities>& list, size_t size, void* value,
            size_t* size_ret) {
  return give_bytes(list.data(), list.size() * sizeof(list[0]), size, value, size_ret);
}

}  // namespace

cl_int find_devices(cl_platform_id platform, std::vector<cl_device_id>& devices) {
  cl_uint count = 0;
  const cl_int status = driver().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count);
  if (status == CL_DEVICE_NOT_FOUND) return CL_SUCCESS;
  if (status != CL_SUCCESS) return status;
  devices.resize(count);
  return driver().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices.data(), nullptr);
}

SvmFeatures features_of(cl_device_id device) { return {choose(device).backend, svm_of(device)}; }

std::shared_ptr<const SvmTypes> svm_types_of(cl_device_id device) {
  static auto* const found = new DeviceTrials<std::shared_ptr<const SvmTypes>>;
  return found->ask(device, types_of_platform_of);
}

cl_int give_svm_types(cl_platform_id platform, size_t size, void* value, size_t* size_ret) {
  std::shared_ptr<const SvmTypes> types;
  const cl_int status = find_types(platform, types);
  if (status != CL_SUCCESS) return status;
  return give(types->of_platform(), size, value, size_ret);
}

cl_int give_svm_types(cl_device_id device, size_t size, void* value, size_t* size_ret) {
  return give(svm_types_of(device)->of_device(features_of(device)), size, value, size_ret);
}

}  // namespace sluice::opencl
