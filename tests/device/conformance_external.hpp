// The conformance suite of ExternalWork. A back end that has it says how a program of its driver
// submits work:
//   INSTANTIATE_TEST_SUITE_P(Gpus, ExternalConformance, ::testing::Values(cuda_program()),
//                            name_of_program);
#pragma once

#include <optional>
#include <vector>

#include "device/conformance.hpp"
#include "device/external_work.hpp"

namespace sluice::device::testing {

struct ExternalProgram {
  Backend backend;
  ExternalQueue queue{};  // of the program's own, live while the device is
  // Submits work to the queue, and says what completes with it.
  std::function<ExternalMark(Rig&)> submit;
  // Lets work that was submitted come to its end. None: it does by itself.
  std::function<void()> finish{};
};

inline std::string name_of_program(const ::testing::TestParamInfo<ExternalProgram>& info) {
  return info.param.backend.name;
}

class ExternalConformance : public ::testing::TestWithParam<ExternalProgram> {
 protected:
  void SetUp() override {
    if (!GetParam().backend.missing.empty()) GTEST_SKIP() << GetParam().backend.missing;
    rig.emplace(GetParam().backend);
    work = (*rig)->external_work();
    ASSERT_NE(work, nullptr);
  }
  Fence begin(std::span<const Fence> wait_for = {}) {
    return GET(work->begin(GetParam().queue, wait_for));
  }
  ExternalMark submit() { return GetParam().submit(*rig); }
  void finish() {
    if (GetParam().finish) GetParam().finish();
  }
  void expect_complete(Fence fence) {
    GET((*rig)->wait(fence, patiently()));
    EXPECT_EQ((*rig)->poll(fence), FenceState::complete);
  }

  std::optional<Rig> rig;
  ExternalWork* work = nullptr;
};

TEST_P(ExternalConformance, a_section_is_pending_until_it_ends) {
  const Fence fence = begin();
  EXPECT_EQ((*rig)->poll(fence), FenceState::pending);
  EXPECT_TRUE((*rig)->may_be_pending(fence));
  EXPECT_EQ(code_of((*rig)->wait(fence, {.deadline = Clock::now()})), ErrorCode::timed_out);
  work->nothing_submitted(fence);
  expect_complete(fence);
}

TEST_P(ExternalConformance, the_fence_completes_with_the_work) {
  const Fence fence = begin();
  GET(work->submitted(fence, submit()));
  if (GetParam().finish) {
    EXPECT_EQ((*rig)->poll(fence), FenceState::pending);
  }
  finish();
  expect_complete(fence);
}

TEST_P(ExternalConformance, sections_are_open_beside_each_other_and_end_in_any_order) {
  std::vector<Fence> open;
  for (int i = 0; i < 20; ++i) open.push_back(begin());
  for (std::size_t i = 0; i < open.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(open[i], open[j]);
  for (std::size_t i = open.size(); i-- > 0;) {
    EXPECT_EQ((*rig)->poll(open[i]), FenceState::pending);
    if (i % 2 == 0)
      work->nothing_submitted(open[i]);
    else
      GET(work->submitted(open[i], submit()));
  }
  finish();
  for (const Fence& fence : open) expect_complete(fence);
}

TEST_P(ExternalConformance, work_comes_after_the_fences_that_it_names) {
  const Fence first = begin();
  GET(work->submitted(first, submit()));
  EXPECT_TRUE(work->orders(first));
  const Fence second = begin({&first, 1});
  GET(work->submitted(second, submit()));
  finish();
  expect_complete(second);
  expect_complete(first);
}

TEST_P(ExternalConformance, a_fence_that_orders_nothing_is_refused) {
  const Fence open = begin();
  const Result<Fence> after = work->begin(GetParam().queue, {&open, 1});
  EXPECT_EQ(after.has_value(), work->orders(open));
  if (after)
    work->nothing_submitted(*after);
  else
    EXPECT_EQ(code_of(after), ErrorCode::busy);
  work->nothing_submitted(open);
  EXPECT_TRUE(work->orders(open));
  expect_complete(open);
}

TEST_P(ExternalConformance, ended_sections_leave_room_for_others) {
  for (int i = 0; i < 2000; ++i) {
    const Fence fence = begin();
    work->nothing_submitted(fence);
    expect_complete(fence);
  }
}

}  // namespace sluice::device::testing
