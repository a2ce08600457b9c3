// Transfer over devices without processes: what is submitted together, to which device, what is
// waited for, and which error the caller hears.
#include "transfer/transfer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/fake_device.hpp"

namespace sluice::transfer {
namespace {

using device::FakeDevice;
using device::Journal;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::size_t batch = 32;      // commands of one submission
constexpr std::size_t in_flight = 16;  // submissions

Address page(std::size_t number) { return Journal::origin + number * page_size; }
device::Place on_host(std::size_t number) { return device::Place::host(page(number)); }
device::Place on_device(int device, std::size_t number) {
  return {Location::device(device), 1, number * page_size};
}

class Transfers : public testing::Test {
 protected:
  Transfers() {
    for (int number = 0; number < 2; ++number)
      devices_.add(std::make_unique<FakeDevice>(number, journal_));
  }
  FakeDevice& fake(int number) { return static_cast<FakeDevice&>(devices_[number]); }
  static device::CopyCommand copy_in(std::size_t number, int device = 0) {
    return {on_host(number), on_device(device, number), page_size};
  }
  static device::MappingCommand removal(std::size_t number) {
    return {page(number), page_size, {}, Rights::none};
  }

  Journal journal_;
  Devices devices_;
  Timelines timelines_{devices_};
};

TEST_F(Transfers, commands_that_continue_each_other_are_one_and_nothing_is_sent_before_submit) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.copy(copy_in(2)));
  ASSERT_TRUE(transfer.copy(copy_in(3)));
  ASSERT_TRUE(transfer.copy(copy_in(7)));
  EXPECT_THAT(journal_.take(), IsEmpty());
  ASSERT_TRUE(transfer.submit());
  EXPECT_THAT(journal_.take(),
              ElementsAre("0 copy host+2 0:1+2 x2", "0 copy host+7 0:1+7 x1", "0 go"));
  ASSERT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("0 done"));
}

TEST_F(Transfers, copies_are_joined_only_if_both_ends_continue) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.copy({on_host(0), on_device(0, 0), page_size}));
  ASSERT_TRUE(transfer.copy({on_host(1), on_device(0, 5), page_size}));
  ASSERT_TRUE(transfer.copy({on_host(9), on_device(0, 6), page_size}));
  ASSERT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("0 copy host+0 0:1+0 x1", "0 copy host+1 0:1+5 x1",
                                           "0 copy host+9 0:1+6 x1", "0 go", "0 done"));
}

TEST_F(Transfers, fills_are_joined_if_their_value_is_the_same) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.fill({on_device(1, 0), page_size, 0}));
  ASSERT_TRUE(transfer.fill({on_device(1, 1), page_size, 0}));
  ASSERT_TRUE(transfer.fill({on_device(1, 2), page_size, 7}));
  ASSERT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("1 fill 1:1+0 x2", "1 fill 1:1+2 x1", "1 go", "1 done"));
}

// Mapped bytes that continue each other may lie in two files.
TEST_F(Transfers, of_mappings_only_removals_are_joined) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.map(0, removal(0)));
  ASSERT_TRUE(transfer.map(0, removal(1)));
  ASSERT_TRUE(transfer.map(0, {page(2), page_size, on_host(2), Rights::write}));
  ASSERT_TRUE(transfer.map(0, {page(3), page_size, on_host(3), Rights::write}));
  ASSERT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("0 unmap +0 x2", "0 map +2 x1 write host+2",
                                           "0 map +3 x1 write host+3", "0 go", "0 done"));
}

TEST_F(Transfers, a_copy_runs_on_its_target_and_to_the_host_on_its_source) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.copy({on_device(0, 0), on_device(1, 0), page_size}));
  ASSERT_TRUE(transfer.copy({on_device(0, 1), on_host(1), page_size}));
  // The device has changed, so the first one is on its way.
  EXPECT_THAT(journal_.take(), ElementsAre("1 copy 0:1+0 1:1+0 x1", "1 go"));
  ASSERT_TRUE(transfer.submit());
  EXPECT_THAT(journal_.take(), ElementsAre("0 copy 0:1+1 host+1 x1", "0 go"));
  ASSERT_TRUE(transfer.finish());
}

TEST_F(Transfers, a_full_batch_is_submitted) {
  Transfer transfer(devices_, timelines_);
  for (std::size_t i = 0; i < batch; ++i) ASSERT_TRUE(transfer.copy(copy_in(2 * i)));
  EXPECT_THAT(journal_.take(), IsEmpty());
  ASSERT_TRUE(transfer.copy(copy_in(2 * batch)));
  EXPECT_EQ(journal_.take().size(), batch + 1);
  ASSERT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("0 copy host+64 0:1+64 x1", "0 go", "0 done", "0 done"));
}

TEST_F(Transfers, one_more_submission_than_may_be_in_flight_waits_for_the_oldest) {
  Transfer transfer(devices_, timelines_);
  fake(0).fail_next(ErrorCode::system);
  for (std::size_t i = 0; i < in_flight; ++i) {
    ASSERT_TRUE(transfer.copy(copy_in(i)));
    ASSERT_TRUE(transfer.submit());
  }
  EXPECT_THAT(journal_.take(), testing::Not(Contains("0 done")));
  ASSERT_TRUE(transfer.copy(copy_in(99)));
  const auto oldest = transfer.submit();
  ASSERT_FALSE(oldest);
  EXPECT_EQ(oldest.error().code(), ErrorCode::system);
  EXPECT_THAT(journal_.take(), ElementsAre("0 copy host+99 0:1+99 x1", "0 go", "0 done"));
  EXPECT_TRUE(transfer.finish()) << "an error is reported once";
  EXPECT_EQ(journal_.take().size(), in_flight);
}

TEST_F(Transfers, finish_reports_the_first_error_when_all_has_completed) {
  Transfer transfer(devices_, timelines_);
  fake(0).fail_next(ErrorCode::system);
  ASSERT_TRUE(transfer.copy(copy_in(0, 0)));
  ASSERT_TRUE(transfer.copy(copy_in(0, 1)));
  fake(1).fail_next(ErrorCode::timed_out);
  const auto done = transfer.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::system);
  EXPECT_THAT(journal_.take(), ElementsAre("0 copy host+0 0:1+0 x1", "0 go",
                                           "1 copy host+0 1:1+0 x1", "1 go", "0 done", "1 done"));
}

TEST_F(Transfers, a_command_is_accepted_though_the_call_reports_that_those_before_it_were_refused) {
  Transfer transfer(devices_, timelines_);
  ASSERT_TRUE(transfer.map(0, removal(0)));
  fake(0).refuse_next(ErrorCode::system);
  EXPECT_FALSE(transfer.map(1, removal(0)));
  EXPECT_TRUE(transfer.finish());
  EXPECT_THAT(journal_.take(), ElementsAre("1 unmap +0 x1", "1 go", "1 done"));
}

TEST_F(Transfers, removals_from_a_lost_device_are_done) {
  for (const bool lost_before : {true, false}) {
    Transfer transfer(devices_, timelines_, OnLoss::done);
    ASSERT_TRUE(transfer.map(0, removal(0)));
    if (!lost_before) {
      ASSERT_TRUE(transfer.submit());
    }
    fake(0).lose();
    EXPECT_TRUE(transfer.finish()) << lost_before;
    ASSERT_TRUE(fake(0).reset());
  }
}

TEST_F(Transfers, other_errors_of_removals_and_losses_of_other_work_are_reported) {
  Transfer removals(devices_, timelines_, OnLoss::done);
  fake(0).fail_next(ErrorCode::system);
  ASSERT_TRUE(removals.map(0, removal(0)));
  EXPECT_FALSE(removals.finish());

  Transfer copies(devices_, timelines_);
  ASSERT_TRUE(copies.copy(copy_in(0)));
  fake(0).lose();
  const auto done = copies.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::device_lost);
}

// The bytes must not move under a running copy.
TEST_F(Transfers, the_end_of_a_transfer_waits_for_what_was_submitted_and_submits_no_more) {
  {
    Transfer transfer(devices_, timelines_);
    ASSERT_TRUE(transfer.copy(copy_in(0)));
    ASSERT_TRUE(transfer.submit());
    ASSERT_TRUE(transfer.copy(copy_in(5)));
    EXPECT_THAT(journal_.take(), ElementsAre("0 copy host+0 0:1+0 x1", "0 go"));
  }
  EXPECT_THAT(journal_.take(), ElementsAre("0 done"));
}

}  // namespace
}  // namespace sluice::transfer
