// The cases of bench/pressure.cc on an NVIDIA GPU, with buffers of 8 MiB.
#include "bench/cuda.hpp"

#include "bench/pressure.hpp"

namespace sluice::tool::bench {

std::vector<Case> measure_pressure(const Options& options) {
  constexpr std::size_t buffer_size = std::size_t{8} << 20;
  return pressure_on(
      {.software = {.count = 0},
       .cuda = {.gpus = {options.gpus.front()}, .memory_size = pressed_buffers * buffer_size}},
      buffer_size);
}

}  // namespace sluice::tool::bench
