// Fault plans: the language, and every step with every action that it has.
#include <signal.h>

#include <map>

#include "device/soft/fault_plan.hpp"
#include "device/soft_rig.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

using soft::FaultPlan;
using soft::PlannedAction;
using soft::Step;
using std::chrono::milliseconds;

TEST(FaultPlan, counts_steps_of_its_device) {
  FaultPlan plan(1);
  GET(plan.replace("device=1 step=copy nth=3 action=fail; device=2 step=copy action=fail;"));
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(plan.next(Step::copy).what, i == 3 ? PlannedAction::fail : PlannedAction::nothing)
        << i;
    EXPECT_EQ(plan.next(Step::fill).what, PlannedAction::nothing);
  }
}

TEST(FaultPlan, every_and_always) {
  FaultPlan plan(0);
  GET(plan.replace(" step=map  action=slow=7 every=2 ; step=launch action=kill "));
  for (int i = 1; i <= 6; ++i) {
    const auto fault = plan.next(Step::map);
    EXPECT_EQ(fault.what, i % 2 == 0 ? PlannedAction::slow : PlannedAction::nothing);
    EXPECT_EQ(fault.milliseconds, i % 2 == 0 ? 7U : 0U);
    EXPECT_EQ(plan.next(Step::launch).what, PlannedAction::kill);
  }
}

TEST(FaultPlan, the_first_rule_that_applies_wins) {
  FaultPlan plan(0);
  GET(plan.replace("step=copy nth=2 action=fail; step=copy action=slow=1"));
  EXPECT_EQ(plan.next(Step::copy).what, PlannedAction::slow);
  EXPECT_EQ(plan.next(Step::copy).what, PlannedAction::fail);
  EXPECT_EQ(plan.next(Step::copy).what, PlannedAction::slow);
}

TEST(FaultPlan, interruptions_wait_for_a_wait_that_can_be_interrupted) {
  FaultPlan plan(0);
  GET(plan.replace("step=fence nth=1 action=interrupt"));
  EXPECT_EQ(plan.next(Step::fence, false).what, PlannedAction::nothing);
  EXPECT_EQ(plan.next(Step::fence, true).what, PlannedAction::interrupt);
  EXPECT_EQ(plan.next(Step::fence, true).what, PlannedAction::nothing);
}

TEST(FaultPlan, bad_plans_name_the_word_and_change_nothing) {
  FaultPlan plan(0);
  GET(plan.replace("step=copy action=fail"));
  const std::map<std::string, std::string> bad{
      {"step=copy action=fial", "action=fial"},
      {"step=kopy action=fail", "step=kopy"},
      {"copy fail", "'copy'"},
      {"step=copy action=fail nth=0", "nth=0"},
      {"step=copy action=fail nth=x", "nth=x"},
      {"step=copy action=fail nth=", "nth="},
      {"step=copy action=fail device=64", "device=64"},
      {"step=copy action=fail devise=1", "devise=1"},
      {"step=copy action=slow", "action=slow"},
      {"step=copy action=slow=soon", "slow=soon"},
      {"step=copy action=fail=3", "action=fail=3"},
      {"action=fail", "no step="},
      {"step=copy", "no action="},
      {"step=unmap action=fail", "has no such action"},
      {"step=copy action=interrupt", "has no such action"},
      {"step=fence action=fail", "has no such action"},
      {"step=copy action=fail; step=fill action=explode", "action=explode"},
  };
  for (const auto& [text, word] : bad) {
    const auto outcome = plan.replace(text);
    EXPECT_EQ(code_of(outcome), ErrorCode::invalid_argument) << text;
    EXPECT_NE(detail_of(outcome).find(word), std::string::npos)
        << text << ": " << detail_of(outcome);
  }
  EXPECT_EQ(plan.next(Step::copy).what, PlannedAction::fail);
  GET(plan.replace(""));
  EXPECT_EQ(plan.next(Step::copy).what, PlannedAction::nothing);
}

// How to take each step of a running device, and with which code a planned failure of it shows.
struct StepOnDevice {
  std::string name;
  std::string actions;
  ErrorCode failure;
  std::function<Result<void>(Rig&)> take;
};

std::vector<StepOnDevice> steps_on_device() {
  const auto plain = [](auto outcome) -> Result<void> {
    if (!outcome) return tl::unexpected(outcome.error());
    return {};
  };
  return {
      {"allocate", "fail slow kill", ErrorCode::out_of_device_memory,
       [=](Rig& rig) { return plain(rig->allocate(page_size)); }},
      {"map", "fail hang slow kill", ErrorCode::system,
       [](Rig& rig) { return rig.outcome(rig.map(0, block_size, rig.on_host(0), Rights::read)); }},
      {"unmap", "hang slow kill", ErrorCode::system,
       [](Rig& rig) { return rig.outcome(rig.map(0, block_size, {}, Rights::none)); }},
      {"copy", "fail hang slow kill", ErrorCode::system,
       [](Rig& rig) {
         return rig.outcome(rig.copy(rig.on_host(0), rig.on_host(block_size), page_size));
       }},
      {"fill", "fail hang slow kill", ErrorCode::system,
       [](Rig& rig) {
         const auto allocation = rig->allocate(page_size);
         return allocation ? rig.outcome(rig.fill(rig.on_device(*allocation), page_size, 1))
                           : tl::unexpected(allocation.error());
       }},
      {"launch", "fail hang slow kill", ErrorCode::system,
       [](Rig& rig) {
         const QueueId queue = GET(rig->create_queue());
         auto outcome = rig.outcome(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
         rig->destroy_queue(queue);
         return outcome;
       }},
      {"kernel", "fail slow kill", ErrorCode::unknown_kernel,
       [=](Rig& rig) { return plain(rig->find_kernel("", "fill")); }},
      {"queue", "fail slow kill", ErrorCode::system,
       [=](Rig& rig) { return plain(rig->create_queue()); }},
      {"fence", "slow interrupt kill", ErrorCode::interrupted,
       [](Rig& rig) {
         const Fence fence = GET(rig.map(0, block_size, {}, Rights::none));
         return rig->wait(fence, {.deadline = Clock::now() + patience, .interruptible = true});
       }},
      {"reset", "fail slow", ErrorCode::system, [](Rig& rig) { return rig->reset(); }},
  };
}

struct Case {
  StepOnDevice step;
  std::string action;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const StepOnDevice& step : steps_on_device()) {
    for (const char* action : {"fail", "hang", "slow", "interrupt", "kill"}) {
      if (step.actions.find(action) != std::string::npos) all.push_back({step, action});
    }
  }
  return all;
}

class PlannedStep : public ::testing::TestWithParam<Case> {};

TEST_P(PlannedStep, fails_and_recovers) {
  const auto& [step, action] = GetParam();
  Rig rig(soft_backend([](soft::SoftOptions& options) {
    options.hang_timeout = options.kernel_timeout = milliseconds(1000);
  }));
  const std::string words = action == "slow" ? "slow=50" : action;
  GET(soft_calls(rig).plan_faults("device=0 step=" + step.name + " nth=2 action=" + words));
  EXPECT_TRUE(step.take(rig)) << "the first time nothing is planned";

  const auto before = Clock::now();
  const auto outcome = step.take(rig);
  if (action == "slow") {
    EXPECT_TRUE(outcome) << detail_of(outcome);
    EXPECT_GE(Clock::now() - before, milliseconds(50));
  } else if (action == "fail" || action == "interrupt") {
    EXPECT_EQ(code_of(outcome), step.failure) << detail_of(outcome);
    EXPECT_NE(detail_of(outcome).find("planned"), std::string::npos) << detail_of(outcome);
  } else {
    // The step may still have succeeded on this side when the device died; then it is lost soon
    // after.
    EXPECT_TRUE(outcome || code_of(outcome) == ErrorCode::device_lost) << detail_of(outcome);
    EXPECT_TRUE(eventually([&] { return rig->lost(); }));
    const auto lost = rig.sink.await(RecordingSink::Event::Kind::lost);
    EXPECT_EQ(lost.text.find("hung") != std::string::npos, action == "hang") << lost.text;
    GET(rig->reset());
  }
  const auto after = step.take(rig);
  EXPECT_TRUE(after) << "the third time nothing is planned: " << detail_of(after);
}

INSTANTIATE_TEST_SUITE_P(All, PlannedStep, ::testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.step.name + "_" + test.param.action;
});

TEST(FaultPlanOfOpen, fails_and_delays) {
  HostArea host;
  RecordingSink sink;
  const auto with = [](const char* plan) {
    return soft_backend([plan](soft::SoftOptions& options) { options.fault_plan = plan; });
  };
  EXPECT_EQ(code_of(with("device=3 step=open action=fail").open(3, host.memory(), sink)),
            ErrorCode::system);
  EXPECT_TRUE(with("device=3 step=open action=fail").open(2, host.memory(), sink));
  const auto before = Clock::now();
  EXPECT_TRUE(with("step=open action=slow=50").open(0, host.memory(), sink));
  EXPECT_GE(Clock::now() - before, milliseconds(50));
  EXPECT_EQ(code_of(with("step=open action=melt").open(0, host.memory(), sink)),
            ErrorCode::invalid_argument);
}

TEST(FaultPlanOfACopy, death_comes_half_way) {
  Rig rig(soft_backend());
  GET(soft_calls(rig).plan_faults("step=copy nth=1 action=kill"));
  std::fill_n(rig.host.alias<std::uint8_t>(0), block_size, std::uint8_t{1});
  std::fill_n(rig.host.alias<std::uint8_t>(block_size), block_size, std::uint8_t{0});
  EXPECT_EQ(code_of(rig.outcome(rig.copy(rig.on_host(0), rig.on_host(block_size), block_size))),
            ErrorCode::device_lost);
  EXPECT_EQ(rig.host.alias<std::uint8_t>(block_size)[block_size / 2 - 1], 1);
  EXPECT_EQ(rig.host.alias<std::uint8_t>(block_size)[block_size / 2], 0);
}

}  // namespace
}  // namespace sluice::device::testing
