// The files of a software GPU: the program of its process, and the module with the built-in
// kernels.
#pragma once

#include <string>

#include "base/result.hpp"

namespace sluice::device::soft {

// The program to start: SLUICE_SOFT_DEVICE, else the one in libexec/ of the tree that this library
// or program lies in. An absolute path. The error (`system`) names all places, or the defect of the
// file that is there.
[[nodiscard]] Result<std::string> find_device_program();

// The module with the built-in kernels of that program: SLUICE_SOFT_KERNELS, else in lib/ of the
// tree that the program lies in, else beside it. An absolute path. `system`, likewise.
[[nodiscard]] Result<std::string> find_builtin_kernels(const std::string& program);

}  // namespace sluice::device::soft
