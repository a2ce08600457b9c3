// The one way in which Sluice reads environment variables, in the library, the device process, the
// OpenCL layer and the tool.
//
// A program with more rights than its user (set-user-ID, set-group-ID, file capabilities) gets its
// environment from that user. The user could otherwise name a program to start, a module to load or
// a file to overwrite. Linux marks such a program with AT_SECURE (getauxval(3)); every variable
// reads as unset there. tests/house/environment_test.py keeps other ways out.
//
// Header only, because the device process and the preloads link nothing of the library.
#pragma once

#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>

namespace sluice::os {

// True if this process runs with more rights than the user that started it (AT_SECURE).
[[nodiscard]] inline bool has_raised_rights() noexcept { return ::getauxval(AT_SECURE) != 0; }

// The value of a variable; null when it is unset, and always null with raised rights. Source:
// secure_getenv(3). Not to be called beside a thread that changes the environment.
[[nodiscard]] inline const char* environment(const char* name) noexcept {
  return has_raised_rights() ? nullptr : ::secure_getenv(name);
}

// All entries, null-terminated, to pass to a program that is started; with raised rights there is
// none.
[[nodiscard]] inline char** whole_environment() noexcept {
  static char* nothing[] = {nullptr};
  return has_raised_rights() || environ == nullptr ? nothing : environ;
}

}  // namespace sluice::os
