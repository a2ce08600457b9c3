// The state of an operation by itself: its transitions and what it reports.
#include "mapping/operation.hpp"

#include "mapping_rig.hpp"

namespace sluice::mapping {
namespace {

using namespace mapping_test;

Operation on_four_devices(MappingMode mode, Verb verb = Verb::map) {
  return Operation({.verb = verb, .parts = {}, .devices = {3, 1, 0, 2}, .mode = mode});
}

void let_succeed(Operation& operation, std::size_t index) {
  operation.attempt(index);
  operation.count_dispatch(index);
  operation.succeed(index);
}

std::vector<MappingState> states_of(const Operation& operation) {
  std::vector<MappingState> states;
  for (const DeviceMapping& device : operation.devices()) states.push_back(device.state);
  return states;
}

TEST(Operation, begins_with_nothing_tried) {
  const Operation operation = on_four_devices(MappingMode::partial);
  EXPECT_THAT(states_of(operation), ElementsAre(not_tried, not_tried, not_tried, not_tried));
  EXPECT_EQ(operation.devices()[0].device, 3);
  EXPECT_EQ(operation.prefix(), 0u);
  EXPECT_FALSE(operation.finished());
  EXPECT_TRUE(operation.outcome());
}

TEST(Operation, the_prefix_ends_at_the_first_gap) {
  Operation operation = on_four_devices(MappingMode::partial);
  let_succeed(operation, 3);
  EXPECT_EQ(operation.prefix(), 0u);
  operation.found(0);
  EXPECT_EQ(operation.prefix(), 1u);
  operation.attempt(1);
  EXPECT_EQ(operation.prefix(), 1u);
  operation.succeed(1);
  EXPECT_EQ(operation.prefix(), 2u);
  let_succeed(operation, 2);
  EXPECT_EQ(operation.prefix(), 4u);
  EXPECT_EQ(operation.devices()[0].dispatched, 0u);
  EXPECT_EQ(operation.devices()[2].dispatched, 1u);
}

TEST(Operation, the_first_failure_in_the_order_of_the_request_is_the_outcome) {
  Operation operation = on_four_devices(MappingMode::partial);
  operation.attempt(2);
  operation.fail(2, Error(ErrorCode::device_lost, "late"));
  operation.fail(1, Error(ErrorCode::unsupported, "early"));
  const Result<void> outcome = operation.outcome();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().detail(), "early");
  EXPECT_FALSE(operation.must_undo());
}

TEST(Operation, all_or_nothing_undoes_once_something_failed) {
  Operation operation = on_four_devices(MappingMode::all_or_nothing);
  let_succeed(operation, 0);
  EXPECT_FALSE(operation.must_undo());
  operation.fail(1, Error(ErrorCode::system, "no"));
  EXPECT_TRUE(operation.must_undo());
  operation.undo(0);
  EXPECT_THAT(states_of(operation), ElementsAre(undone, failed, not_tried, not_tried));
  EXPECT_EQ(operation.prefix(), 0u);
}

TEST(Operation, a_new_try_begins_with_a_clean_report) {
  Operation operation = on_four_devices(MappingMode::partial);
  let_succeed(operation, 0);
  operation.fail(1, Error(ErrorCode::system, "no"));
  operation.finish();
  EXPECT_TRUE(operation.finished());
  operation.restart();
  EXPECT_FALSE(operation.finished());
  EXPECT_TRUE(operation.outcome());
  EXPECT_THAT(states_of(operation), ElementsAre(not_tried, not_tried, not_tried, not_tried));
  EXPECT_EQ(operation.devices()[0].dispatched, 0u);
}

TEST(Operation, unmapping_counts_what_is_unmapped) {
  Operation operation = on_four_devices(MappingMode::partial, Verb::unmap);
  operation.found(0);
  let_succeed(operation, 1);
  EXPECT_THAT(states_of(operation), ElementsAre(unmapped, unmapped, not_tried, not_tried));
  EXPECT_EQ(operation.prefix(), 2u);
}

}  // namespace
}  // namespace sluice::mapping
