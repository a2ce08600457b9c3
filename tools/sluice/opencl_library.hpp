// OpenclLibrary: OpenCL's loader with Sluice's layer in it, loaded into the tool when a verb asks
// for it.
#pragma once

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <string>
#include <vector>

namespace sluice::tool {

struct OpenclDevice {
  cl_platform_id platform;
  cl_device_id id;
  std::string platform_name;
  std::string name;
  std::string choice;  // the back end that serves it, and why
};

class OpenclLibrary {
 public:
  // CannotRun when this machine has no loader, or the layer is not installed.
  OpenclLibrary();
  [[nodiscard]] std::vector<OpenclDevice> devices() const;

  // A function of OpenCL's by its name, with the type that the headers give it. CannotRun if the
  // loader lacks it.
  template <typename Function>
  [[nodiscard]] Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(loader_, name));
  }

 private:
  [[nodiscard]] static void* symbol(void* library, const char* name);
  void* loader_ = nullptr;
  void* layer_ = nullptr;
};

}  // namespace sluice::tool
