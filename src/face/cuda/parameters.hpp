// Parameters: where the parameters of a launch lie, and copies of those that lie in managed memory:
// the driver reads them under a lock that the answer to an access may need.
#pragma once

#include <cstddef>
#include <vector>

#include "face/cuda/driver_types.hpp"

namespace sluice::cuda {

// A launch gives these to the driver, as long as its call lasts.
class Parameters {
 public:
  Parameters(CUfunction function, void** given, void** extra = nullptr);
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  [[nodiscard]] void** given() const noexcept { return given_; }
  [[nodiscard]] void** extra() const noexcept { return extra_; }

 private:
  void stage(CUfunction function);
  void stage_extra();

  void** given_;
  void** extra_;
  std::vector<std::byte> bytes_;
  std::vector<void*> list_;
  std::size_t size_ = 0;  // of the block of `extra`
};

}  // namespace sluice::cuda
