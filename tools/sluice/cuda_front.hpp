// The front of the CUDA face: the library that a program finds under the name libcuda.so.1.
#pragma once

#include <filesystem>

namespace sluice::tool {

// The driver of this machine, by its path. CannotRun: there is none.
[[nodiscard]] std::filesystem::path find_cuda_driver();

// Makes the front for a driver, in a folder of the user's own, or finds it there. It has the name
// libcuda.so.1, no code, and needs first libsluice-cuda.so and then the driver: so a name is looked
// up in the wrappers first, and everything that the driver has is there, in whatever version.
[[nodiscard]] std::filesystem::path make_cuda_front(const std::filesystem::path& face,
                                                    const std::filesystem::path& driver);

}  // namespace sluice::tool
