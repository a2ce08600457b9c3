// The path of this code on disk, and the programs that may be started because they lie beside it.
#pragma once

#include <string>

#include "base/result.hpp"

namespace sluice::os {

// The absolute path, without symbolic links, of the library or program that holds this code. It is
// found at load time, so a program may change its directory, and unmount /proc, afterwards.
// `system` when it could not be found.
[[nodiscard]] Result<std::string> own_file();

// Checks that the program or module at an absolute path may be started or loaded because it belongs
// to this installation: a regular file that, like the two folders above it, belongs to root, to the
// owner of own_file() or to this process's user, and that no other user may write. With raised
// rights (environment.hpp) the process's user is not among them. The error names the file, the
// fault and the remedy.
[[nodiscard]] Result<void> check_companion(const std::string& path);

}  // namespace sluice::os
