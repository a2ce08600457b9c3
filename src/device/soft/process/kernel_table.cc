// Loads shared objects with kernels, by path, and the built-in ones from their place next to this program.
//
// Modules stay loaded until the process ends. Loading runs the module's constructors; one that does not return shows as
// a device that hangs.
#include "device/soft/process/kernel_table.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace sluice::device::soft::process {
namespace {

// The build tree and an installed tree look alike: libexec/sluice/<this program> beside lib/sluice/<the kernels>.
std::string builtin_module() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody writes the environment of this process
  if (const char* chosen = std::getenv("SLUICE_SOFT_KERNELS")) return chosen;
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  const auto mirrored = here.parent_path().parent_path() / "lib/sluice/libsluice-kernels.so";
  return std::filesystem::exists(mirrored, ignored) ? mirrored.string()
                                                    : (here / "libsluice-kernels.so").string();
}

// dlsym also searches what the module depends on; `printf` is no kernel.
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
  void* loaded =
      dlopen(module.empty() ? builtin_module().c_str() : module.c_str(), RTLD_NOW | RTLD_LOCAL);
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
