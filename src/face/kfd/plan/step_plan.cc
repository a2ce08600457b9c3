// The language and its counting are those of software GPUs (device/soft/fault_plan.hpp). Only the
// meaning of a step differs, and some have none here.
#include "face/kfd/plan/step_plan.hpp"

#include <array>

namespace sluice::kfd {
namespace {

namespace soft = device::soft;

struct PlannedStep {
  Step step;
  soft::Step counted;
  std::string_view name;
  std::string_view actions;  // those that have a meaning
};
constexpr std::array planned_steps = std::to_array<PlannedStep>({
    {Step::acquire, soft::Step::open, "open", " fail "},
    {Step::allocate, soft::Step::allocate, "allocate", " fail "},
    {Step::map, soft::Step::map, "map", " fail slow hang "},
    {Step::unmap, soft::Step::unmap, "unmap", " slow hang "},
    {Step::queue, soft::Step::queue, "queue", " fail "},
    {Step::wait, soft::Step::fence, "fence", " slow interrupt "},
    {Step::room, soft::Step::room, "room", " fail "},
    {Step::migrate, soft::Step::copy, "copy", " fail "},
});

// The value of a key in a rule that has been parsed already.
std::string_view value_of(std::string_view rule, std::string_view key) noexcept {
  const std::size_t at = rule.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = rule.substr(at + key.size());
  return rest.substr(0, rest.find_first_of(" \t\n="));
}

Result<void> check_rule(std::string_view rule) {
  if (rule.find_first_not_of(" \t\n") == std::string_view::npos) return {};
  const std::string_view step = value_of(rule, "step=");
  const std::string action = " " + std::string(value_of(rule, "action=")) + " ";
  for (const PlannedStep& each : planned_steps)
    if (each.name == step && each.actions.find(action) != std::string_view::npos) return {};
  return fail(ErrorCode::invalid_argument,
              "fault plan: '%.*s': below --kfd this step has no such action (docs/kfd.md)",
              static_cast<int>(rule.size()), rule.data());
}

}  // namespace

Result<StepPlan> StepPlan::make(std::string_view text, int gpus) {
  StepPlan plan;
  for (int gpu = 0; gpu < gpus; ++gpu) {
    plan.gpus_.push_back(std::make_unique<soft::FaultPlan>(gpu));
    SLUICE_TRY(plan.gpus_.back()->replace(text));
  }
  while (!text.empty()) {
    const std::string_view rule = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(rule.size() + 1, text.size()));
    SLUICE_TRY(check_rule(rule));
  }
  return plan;
}

StepFault StepPlan::next(int gpu, Step step) {
  for (const PlannedStep& each : planned_steps) {
    if (each.step != step) continue;
    const soft::PlannedFault fault =
        gpus_[static_cast<std::size_t>(gpu)]->next(each.counted, step == Step::wait);
    return {.fails = fault.what == soft::PlannedAction::fail,
            .hangs = fault.what == soft::PlannedAction::hang,
            .interrupts = fault.what == soft::PlannedAction::interrupt,
            .delay = std::chrono::milliseconds(fault.milliseconds)};
  }
  return {};
}

}  // namespace sluice::kfd
