// Fault plans below --kfd: the language of docs/fault-plan.md, with the steps that exist here.
#include "face/kfd/plan/step_plan.hpp"

#include <gtest/gtest.h>

namespace sluice::kfd {
namespace {

TEST(KfdPlan, a_rule_hits_its_gpu_step_and_turn) {
  auto plan =
      StepPlan::make("device=2 step=map nth=2 action=fail; step=map every=3 action=slow=7", 4);
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->next(2, Step::map).fails);
  EXPECT_FALSE(plan->next(1, Step::map).fails);
  EXPECT_TRUE(plan->next(2, Step::map).fails);
  EXPECT_EQ(plan->next(2, Step::map).delay, std::chrono::milliseconds(7));
  EXPECT_FALSE(plan->next(2, Step::unmap).fails);
}

TEST(KfdPlan, hangs_and_interruptions_are_planned_too) {
  auto plan = StepPlan::make("step=unmap action=hang; step=fence action=interrupt", 1);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->next(0, Step::unmap).hangs);
  EXPECT_TRUE(plan->next(0, Step::wait).interrupts);
}

// A rule that can inject nothing would make a test pass that tests nothing.
TEST(KfdPlan, mistakes_and_steps_without_a_meaning_are_refused_by_name) {
  for (const char* const wrong :
       {"step=mop action=fail", "step=map", "step=fill action=fail", "step=launch action=hang",
        "step=map action=kill", "step=allocate action=slow=5",
        "step=map action=fail; step=room action=kill"})
    EXPECT_FALSE(StepPlan::make(wrong, 2)) << wrong;
  const auto refused = StepPlan::make("step=fill action=fail", 2);
  EXPECT_NE(refused.error().detail().find("step=fill"), std::string_view::npos);
  EXPECT_TRUE(StepPlan::make("", 2));
  EXPECT_TRUE(StepPlan::make(" ; step=open action=fail ;", 2));
}

}  // namespace
}  // namespace sluice::kfd
