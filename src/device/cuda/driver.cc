// Finds the driver's entries by name.
//
// SLUICE_CUDA_DRIVER names the driver where something else is called libcuda.so.1: the front of the
// CUDA face (src/face/cuda).
//
// The library stays loaded for the life of the process: it cannot be unloaded safely. What it does
// not do: choose between versions of an entry by asking cuGetProcAddress; the names with their
// suffixes are the versions that are declared here.
#include "device/cuda/driver.hpp"

#include <dlfcn.h>

#include "os/environment.hpp"

namespace sluice::device::cuda {
namespace {

constinit bool as_programs_do = false;

Result<Driver> open_driver() {
  const char* const named = as_programs_do ? nullptr : os::environment("SLUICE_CUDA_DRIVER");
  void* const library = dlopen(named != nullptr ? named : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail(ErrorCode::unsupported, "no CUDA driver on this machine (%s)",
                dlerror());  // NOLINT(concurrency-mt-unsafe): of this thread, in glibc
  Driver driver;
// NOLINTBEGIN(bugprone-macro-parentheses): a list of parameters takes none
#define SLUICE_CUDA_FIND(member, symbol, parameters)                                       \
  driver.member = reinterpret_cast<CUresult(*) parameters>(dlsym(library, #symbol));       \
  if (driver.member == nullptr)                                                            \
    return fail(ErrorCode::unsupported,                                                    \
                "the CUDA driver has no %s; Sluice needs a driver for CUDA 12.4 or later", \
                #symbol);
  SLUICE_CUDA_ENTRIES(SLUICE_CUDA_FIND)
#undef SLUICE_CUDA_FIND
  // NOLINTEND(bugprone-macro-parentheses)
  if (const CUresult error = driver.init(0); error != success) {
    const char* name = "unknown error";
    (void)driver.error_name(error, &name);
    return fail(ErrorCode::unsupported, "the CUDA driver does not start: %s", name);
  }
  return driver;
}

}  // namespace

Result<const Driver*> Driver::load() {
  static const Result<Driver> driver = open_driver();
  if (!driver) return tl::unexpected<Error>(driver.error());
  return &*driver;
}

void Driver::take_as_programs_do() noexcept { as_programs_do = true; }

tl::unexpected<Error> Driver::failed(CUresult error, const char* call) const noexcept {
  const char* name = "unknown error";
  (void)error_name(error, &name);
  const ErrorCode code =
      error == error_out_of_memory ? ErrorCode::out_of_device_memory : ErrorCode::system;
  return fail(code, "%s: %s", call, name);
}

}  // namespace sluice::device::cuda
