// Finds the program and the module by absolute paths only, relative to this library's own location,
// which was recorded when it was loaded.
//
// The working directory, argv[0] and PATH are not used: anyone able to set them could choose the
// program. A file found beside the library is checked for its owner and mode
// (os/program_files.hpp). A file named by an environment variable was chosen by this process's own
// user, and is only checked to be usable; with raised rights the variables are ignored.
#include "device/soft/programs.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "os/environment.hpp"
#include "os/errors.hpp"
#include "os/program_files.hpp"

namespace sluice::device::soft {
namespace {

// The reason why the file cannot be used so; empty if it can.
std::string reason_against(const std::string& path, int right) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return std::string("stat: ") + os::errno_name(errno);
  if (!S_ISREG(file.st_mode)) return "no regular file";
  if (::access(path.c_str(), right) != 0) return std::string("access: ") + os::errno_name(errno);
  return {};
}

std::string folder_of(const std::string& path, int levels) {
  std::string folder = path;
  for (; levels > 0 && !folder.empty(); --levels) folder.erase(folder.rfind('/'));
  return folder;
}

// The file that a variable names; empty if it names none.
Result<std::string> named_by(const char* variable, int right, const char* purpose) {
  const char* const value = os::environment(variable);
  if (value == nullptr || *value == 0) return std::string();
  if (*value != '/')
    return fail(ErrorCode::system, "%s is '%s'; it must be an absolute path", variable, value);
  const std::string reason = reason_against(value, right);
  if (reason.empty()) return std::string(value);
  return fail(ErrorCode::system, "%s is '%s', which is no %s (%s)", variable, value, purpose,
              reason.c_str());
}

Result<std::string> first_of(const std::array<std::string, 2>& places, int right, const char* what,
                             const char* variable) {
  for (const std::string& place : places) {
    if (!reason_against(place, right).empty()) continue;
    SLUICE_TRY(os::check_companion(place));
    return place;
  }
  return fail(ErrorCode::system, "no %s (%s); tried %s and %s (set %s to say where it is)", what,
              reason_against(places[0], right).c_str(), places[0].c_str(), places[1].c_str(),
              variable);
}

}  // namespace

Result<std::string> find_device_program() {
  SLUICE_ASSIGN(chosen, named_by("SLUICE_SOFT_DEVICE", X_OK, "program that can be started"));
  if (!chosen.empty()) return chosen;
  SLUICE_ASSIGN(here, os::own_file());
  // From bin/ and lib/ of the build tree or of an installed tree, and from folders in them.
  return first_of({folder_of(here, 2) + "/libexec/sluice/sluice-soft-device",
                   folder_of(here, 3) + "/libexec/sluice/sluice-soft-device"},
                  X_OK, "sluice-soft-device", "SLUICE_SOFT_DEVICE");
}

Result<std::string> find_builtin_kernels(const std::string& program) {
  SLUICE_ASSIGN(chosen, named_by("SLUICE_SOFT_KERNELS", R_OK, "module that can be loaded"));
  if (!chosen.empty()) return chosen;
  // The build tree and an installed tree look alike: libexec/sluice/<the program> beside
  // lib/sluice/<the kernels>.
  return first_of({folder_of(program, 3) + "/lib/sluice/libsluice-kernels.so",
                   folder_of(program, 1) + "/libsluice-kernels.so"},
                  R_OK, "module of built-in kernels", "SLUICE_SOFT_KERNELS");
}

}  // namespace sluice::device::soft
