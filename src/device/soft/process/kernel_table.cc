// Loads shared objects with kernels. The client names each by its path, the built-in ones too.
//
// Modules stay loaded until the process ends. Loading runs the module's constructors; if one does
// not return, the device counts as hung.
#include "device/soft/process/kernel_table.hpp"

#include <dlfcn.h>
#include <link.h>

#include <string>

namespace sluice::device::soft::process {
namespace {

// dlsym also searches the module's dependencies; `printf` is no kernel.
bool belongs_to(void* symbol, void* module) {
  link_map* wanted = nullptr;
  link_map* found = nullptr;
  Dl_info info;
  return dlinfo(module, RTLD_DI_LINKMAP, static_cast<void*>(&wanted)) == 0 &&
         dladdr1(symbol, &info, reinterpret_cast<void**>(&found), RTLD_DL_LINKMAP) != 0 &&
         wanted == found;
}

}  // namespace

std::optional<std::uint32_t> KernelTable::find(const std::string& module, const std::string& name,
                                               std::string& error) {
  void* loaded = dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = loaded == nullptr ? nullptr : dlsym(loaded, name.c_str());
  if (symbol == nullptr) {
    const char* why = dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps it per thread
    error = why != nullptr ? why : "the symbol's value is null";
    return std::nullopt;
  }
  if (!belongs_to(symbol, loaded)) {
    error = "the module itself defines no such function";
    return std::nullopt;
  }
  auto* kernel = reinterpret_cast<sluice_soft_kernel*>(symbol);
  for (std::uint32_t index = 0; index < count_; ++index) {
    if (at(index) == kernel) return index;
  }
  if (count_ == capacity) {
    error = "this device has found " + std::to_string(capacity) + " kernels already; reset it";
    return std::nullopt;
  }
  kernels_[count_].store(kernel, std::memory_order_release);
  return count_++;
}

}  // namespace sluice::device::soft::process
