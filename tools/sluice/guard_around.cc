// See guard_around.hpp. The environment is changed while there is one thread.

#include "guard_around.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "beside.hpp"
#include "os/environment.hpp"

namespace sluice::tool {

// NOLINTBEGIN(concurrency-mt-unsafe): there is one thread

bool guard_is_loaded() noexcept { return dlsym(RTLD_DEFAULT, "sluice_guard_register") != nullptr; }

bool guard_is_asked_for() {
  const char* const preloaded = os::environment("LD_PRELOAD");
  return preloaded != nullptr &&
         std::string(preloaded).find("libsluice-guard.so") != std::string::npos;
}

void put_guard_around() {
  put_before("LD_PRELOAD", library_beside("sluice-guard").c_str());
  // UCX would replace the handler of SIGSEGV when it is loaded.
  ::setenv("UCX_HANDLE_ERRORS", "none", 0);
  // A shared AddressSanitizer ends programs that have a preload before it.
  put_before("ASAN_OPTIONS", "verify_asan_link_order=0");
}

void put_before(const char* name, const char* value) {
  const char* const before = os::environment(name);
  const bool any = before != nullptr && *before != 0;
  ::setenv(name, (any ? std::string(value) + ":" + before : std::string(value)).c_str(), 1);
}

// NOLINTEND(concurrency-mt-unsafe)

}  // namespace sluice::tool
