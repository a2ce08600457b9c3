// StepPlan: the fault plan (docs/fault-plan.md) of the GPUs that programs see through /dev/kfd.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "device/soft/fault_plan.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

class StepPlan {
 public:
  // For GPUs 0 to gpus-1. invalid_argument names the word that is wrong, or the step or action that
  // has no meaning here: a rule that injects nothing would make a test pass that tests nothing.
  [[nodiscard]] static Result<StepPlan> make(std::string_view text, int gpus);

  // Counts the step; its planned fault.
  [[nodiscard]] StepFault next(int gpu, Step step);

 private:
  std::vector<std::unique_ptr<device::soft::FaultPlan>> gpus_;
};

}  // namespace sluice::kfd
