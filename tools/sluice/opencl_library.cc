// OpenCL's loader reads OPENCL_LAYERS when it is first used, so the layer is named before the
// loader is loaded. Neither is ever unloaded: drivers leave threads behind.

#include "opencl_library.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include "beside.hpp"
#include "report.hpp"

namespace sluice::tool {

OpenclLibrary::OpenclLibrary() {
  const std::string layer = library_beside("sluice-opencl").string();
  // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread
  ::setenv("OPENCL_LAYERS", layer.c_str(), 1);
  loader_ = ::dlopen("libOpenCL.so.1", RTLD_NOW);
  if (loader_ == nullptr)
    throw CannotRun("there is no libOpenCL.so.1 here\nTry: sudo apt install ocl-icd-libopencl1");
  layer_ = ::dlopen(layer.c_str(), RTLD_NOW);
  if (layer_ == nullptr) throw CannotRun(std::string("cannot load ") + ::dlerror());
  // NOLINTEND(concurrency-mt-unsafe)
}

void* OpenclLibrary::symbol(void* library, const char* name) {
  void* const found = ::dlsym(library, name);
  if (found == nullptr) throw CannotRun(std::string("OpenCL's loader has no ") + name);
  return found;
}

std::vector<OpenclDevice> OpenclLibrary::devices() const {
  const auto platform_ids = function<decltype(clGetPlatformIDs)>("clGetPlatformIDs");
  const auto platform_info = function<decltype(clGetPlatformInfo)>("clGetPlatformInfo");
  const auto device_ids = function<decltype(clGetDeviceIDs)>("clGetDeviceIDs");
  const auto device_info = function<decltype(clGetDeviceInfo)>("clGetDeviceInfo");
  using Choice = void(cl_device_id, char*, std::size_t);
  const auto choice = reinterpret_cast<Choice*>(symbol(layer_, "sluice_opencl_choice"));

  std::vector<OpenclDevice> found;
  cl_uint count = 0;
  platform_ids(0, nullptr, &count);
  std::vector<cl_platform_id> platforms(count);
  platform_ids(count, platforms.data(), nullptr);
  char text[512] = {};
  for (cl_platform_id platform : platforms) {
    platform_info(platform, CL_PLATFORM_NAME, sizeof(text), text, nullptr);
    const std::string platform_name = text;
    cl_uint devices = 0;
    if (device_ids(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &devices) != CL_SUCCESS) continue;
    std::vector<cl_device_id> ids(devices);
    device_ids(platform, CL_DEVICE_TYPE_ALL, devices, ids.data(), nullptr);
    for (cl_device_id id : ids) {
      device_info(id, CL_DEVICE_NAME, sizeof(text), text, nullptr);
      const std::string name = text;
      choice(id, text, sizeof(text));
      found.push_back({platform, id, platform_name, name, text});
    }
  }
  return found;
}

}  // namespace sluice::tool
