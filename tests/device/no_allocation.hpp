// How many times the calling thread has used operator new: for code that fault handlers run, which must not.
#pragma once

#include <cstddef>

namespace sluice::device::testing {

[[nodiscard]] std::size_t allocations_of_this_thread() noexcept;

}  // namespace sluice::device::testing
