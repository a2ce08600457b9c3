// Options: the layer's settings from the environment. Read once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "choice.hpp"
#include "sluice/options.hpp"

namespace sluice::opencl {

// SLUICE_SHARED: the home of shared allocations between launches.
enum class Home : std::uint8_t {
  automatic,  // each where it was seen to be used
  migrate,    // at the location of the last use
  host,       // the host: launches borrow them
};

struct Options {
  bool cpu_as_gpu = false;                 // SLUICE_OPENCL_AS_GPU=1
  std::optional<Backend> backend;          // SLUICE_OPENCL_BACKEND
  Home home = Home::automatic;             // SLUICE_SHARED
  std::optional<bool> pins;                // SLUICE_OPENCL_PIN=0, 1: whether host memory is pinned
  Grade best_grade = Grade::full;          // SLUICE_GRADE: how host accesses are caught, at best
  HostPages pages = HostPages::automatic;  // SLUICE_HOST_PAGES: the pages of host memory
  std::size_t arena = std::size_t{1}
                      << 30;  // SLUICE_OPENCL_ARENA, bytes: the smallest piece of SVM that is taken
};

[[nodiscard]] const Options& options() noexcept;

}  // namespace sluice::opencl
