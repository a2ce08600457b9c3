// The layer's environment variables. An invalid one is named on stderr and has no effect.
#include "options.hpp"

#include <cstdlib>
#include <string_view>

#include "base/types.hpp"
#include "os/environment.hpp"
#include "os/report.hpp"

namespace sluice::opencl {
namespace {

const char* variable(const char* name) noexcept {
  const char* const value = os::environment(name);
  return value != nullptr && *value != 0 ? value : nullptr;
}

void complain(const char* name, const char* value, const char* possible) noexcept {
  os::report("%s is '%s'; it may be %s. It has no effect", name, value, possible);
}

void read_backend(Options& options) {
  const char* const value = variable("SLUICE_OPENCL_BACKEND");
  if (value == nullptr || std::string_view(value) == "auto") return;
  for (const Backend backend : {Backend::pass, Backend::svm, Backend::addresses, Backend::buffers})
    if (to_string(backend) == value) options.backend = backend;
  if (!options.backend)
    complain("SLUICE_OPENCL_BACKEND", value, "auto, pass, svm, addresses or buffers");
}

void read_home(Options& options) {
  const char* const value = variable("SLUICE_SHARED");
  if (value == nullptr) return;
  const std::string_view word(value);
  if (word == "migrate")
    options.home = Home::migrate;
  else if (word == "host")
    options.home = Home::host;
  else if (word != "auto")
    complain("SLUICE_SHARED", value, "auto, migrate or host");
}

void read_grade(Options& options) {
  const char* const value = variable("SLUICE_GRADE");
  if (value == nullptr) return;
  bool known = false;
  for (const Grade grade : {Grade::full, Grade::user, Grade::signal}) {
    if (sluice::to_string(grade) != value) continue;
    options.best_grade = grade;
    known = true;
  }
  if (!known) complain("SLUICE_GRADE", value, "full, user or signal");
}

void read_pins(Options& options) {
  const char* const value = variable("SLUICE_OPENCL_PIN");
  if (value == nullptr) return;
  const std::string_view word(value);
  if (word == "0" || word == "1")
    options.pins = word == "1";
  else
    complain("SLUICE_OPENCL_PIN", value, "0 or 1");
}

void read_pages(Options& options) {
  const char* const value = variable("SLUICE_HOST_PAGES");
  if (value == nullptr) return;
  bool known = false;
  for (const HostPages pages :
       {HostPages::automatic, HostPages::small, HostPages::transparent, HostPages::huge}) {
    if (sluice::to_string(pages) != value) continue;
    options.pages = pages;
    known = true;
  }
  if (!known) complain("SLUICE_HOST_PAGES", value, "automatic, small, transparent or huge");
}

void read_arena(Options& options) {
  const char* const value = variable("SLUICE_OPENCL_ARENA");
  if (value == nullptr) return;
  char* end = nullptr;
  const unsigned long long bytes = std::strtoull(value, &end, 10);
  if (*end != 0 || bytes < 2 * block_size)
    complain("SLUICE_OPENCL_ARENA", value, "a number of bytes, at least 4 MiB");
  else
    options.arena = round_up(bytes, block_size);
}

Options read() {
  Options options;
  const char* const as_gpu = variable("SLUICE_OPENCL_AS_GPU");
  options.cpu_as_gpu = as_gpu != nullptr && std::string_view(as_gpu) != "0";
  read_backend(options);
  read_home(options);
  read_grade(options);
  read_pins(options);
  read_pages(options);
  read_arena(options);
  return options;
}

}  // namespace

const Options& options() noexcept {
  static const Options read_once = read();
  return read_once;
}

}  // namespace sluice::opencl
