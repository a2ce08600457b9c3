// The part of `sluice doctor --cuda`: what `sluice run --cuda` does on this machine, and why not
// more.
#pragma once

#include <string>
#include <vector>

#include "report.hpp"

namespace sluice::tool {

struct CudaExamination {
  std::string driver;  // its path
  int version = 0;     // 13000: 13.0
  std::vector<std::string> gpus;
  std::vector<std::string> wrapped;  // entries that get a function of Sluice's before them
  std::vector<std::string> lacking;  // those of them that this driver does not have
  std::string grade;                 // of a space on the GPUs; empty: none can be opened
  std::string reason;                // why none, or no better one

  [[nodiscard]] bool works() const noexcept { return !grade.empty(); }
};

// CannotRun: there is no driver.
[[nodiscard]] CudaExamination examine_cuda();
[[nodiscard]] Json json_of(const CudaExamination& examination);
void print(const CudaExamination& examination);

}  // namespace sluice::tool
