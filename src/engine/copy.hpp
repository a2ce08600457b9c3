// Copies that a program asks for.
#pragma once

#include <cstddef>

#include "base/result.hpp"

namespace sluice::engine {

// memmove() over plain memory and the ranges of all spaces of the process. Returns when it is done.
// Thread-safe.
//   invalid_argument  a null pointer, or a span that overflows
//   unknown_address   a span touches a space, but is not all in one live range there
//   data_lost         bytes existed only on a device that was lost
[[nodiscard]] Result<void> copy(void* to, const void* from, std::size_t size);

}  // namespace sluice::engine
