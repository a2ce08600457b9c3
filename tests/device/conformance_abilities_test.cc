// Conformance: the abilities that only some kinds of device have.
#include <atomic>
#include <tuple>

#include "device/conformance_abilities.hpp"
#include "device/latch.hpp"

namespace sluice::device::testing {
namespace {

using Kind = RecordingSink::Event::Kind;

TEST_P(DeviceConformance, abilities_stay_the_same_after_a_reset) {
  Rig rig(GetParam());
  const auto abilities = [&] {
    return std::tuple(rig->external_work(), rig->host_overflow(), rig->placed_memory(),
                      rig->recoverable_faults(), rig->stoppable_queues());
  };
  const auto before = abilities();
  GET(rig->reset());
  EXPECT_EQ(abilities(), before);
}

// --- StoppableQueues -----------------------------------------------------------------------------

TEST_P(Stopping, stopped_queues_begin_no_kernel_and_copies_go_on) {
  GET(queues->stop_queues());
  GET(queues->wait_stopped(patiently()));
  const Fence fence = GET(rig->launch(queue, rig->kernel("nothing"), 0));
  const Allocation allocation = GET((*rig)->allocate(page_size));
  rig->finish(rig->fill(rig->on_device(allocation), page_size, 1));
  rig->finish(rig->copy(rig->on_device(allocation), rig->on_host(0), page_size));
  EXPECT_EQ((*rig)->poll(fence), FenceState::pending);
  queues->restart_queues();
  rig->finish(fence);
}

TEST_P(Stopping, there_is_one_stop_at_a_time) {
  GET(queues->stop_queues());
  EXPECT_EQ(code_of(queues->stop_queues()), ErrorCode::busy);
  queues->restart_queues();
  GET(queues->stop_queues());
  queues->restart_queues();
}

TEST_P(Stopping, a_restart_without_a_stop_does_nothing) {
  queues->restart_queues();
  rig->finish(rig->launch(queue, rig->kernel("nothing"), 0));
}

TEST_P(Stopping, a_running_kernel_is_waited_for_until_the_deadline) {
  Latch latch(*rig);
  const Fence running = GET(rig->launch(queue, rig->kernel("spin"), latch.arguments()));
  Result<void> late;
  // The kernel may not have begun when the queues are stopped; then it begins after the restart.
  do {
    GET(queues->stop_queues());
    late = queues->wait_stopped({.deadline = Clock::now() + std::chrono::milliseconds(20)});
    if (late) queues->restart_queues();
  } while (late);
  EXPECT_EQ(code_of(late), ErrorCode::timed_out);
  latch.open();
  GET(queues->wait_stopped(patiently()));
  queues->restart_queues();
  rig->finish(running);
}

// --- HostOverflow --------------------------------------------------------------------------------

TEST_P(Overflowing, its_allocations_are_copied_mapped_and_used_like_others) {
  const Allocation allocation = GET(overflow->allocate_in_host(block_size));
  EXPECT_EQ((*rig)->memory_in_use(), 0U);
  rig->finish(rig->fill(rig->on_device(allocation), block_size, 1));
  rig->finish(rig->map(0, block_size, rig->on_device(allocation), Rights::write));
  const QueueId queue = GET((*rig)->create_queue());
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig->host.at(0)), 42};
  rig->finish(rig->launch(queue, rig->kernel("fill"), arguments, 1000));
  rig->finish(rig->copy(rig->on_device(allocation), rig->on_host(0), page_size));
  EXPECT_EQ(rig->host.alias<std::uint32_t>(0)[999], 42U);
  EXPECT_EQ(rig->host.alias<std::uint32_t>(0)[1000], 0x01010101U);
  rig->finish(rig->map(0, block_size, {}, Rights::none));
  (*rig)->release(allocation);
}

TEST_P(Overflowing, it_holds_more_than_the_device) {
  std::vector<Allocation> allocations;
  for (std::size_t size = 0; size <= (*rig)->traits().memory_size; size += block_size)
    allocations.push_back(GET(overflow->allocate_in_host(block_size)));
  for (const Allocation& allocation : allocations) (*rig)->release(allocation);
}

TEST_P(Overflowing, impossible_allocations_are_refused) {
  for (const std::size_t size : {std::size_t{0}, page_size + 1, block_size + page_size})
    EXPECT_EQ(code_of(overflow->allocate_in_host(size)), ErrorCode::invalid_argument) << size;
}

// --- RecoverableFaults ---------------------------------------------------------------------------

TEST_P(Recovering, an_access_stalls_until_it_is_answered) {
  allocation = GET((*rig)->allocate(block_size));
  const Fence fence = store();
  const auto event = rig->sink.await(Kind::access_fault);
  EXPECT_EQ(event.access, Access::write);
  EXPECT_EQ(event.address, rig->host.at(0));
  EXPECT_EQ(faults->launch_of(event.fault), fence);
  EXPECT_EQ((*rig)->poll(fence), FenceState::pending);
  give_memory();
  EXPECT_TRUE(faults->answer_and_await(event.fault, Clock::now() + patience));
  rig->finish(fence);
}

TEST_P(Recovering, an_access_that_is_not_resolved_ends_its_kernel) {
  const Fence fence = store();
  faults->answer_fault(rig->sink.await(Kind::access_fault).fault, false);
  EXPECT_EQ(code_of((*rig)->wait(fence, patiently())), ErrorCode::device_fault);
}

TEST_P(Recovering, answers_to_no_access_are_ignored) {
  allocation = GET((*rig)->allocate(block_size));
  for (const std::uint32_t fault : {0U, 1U, 12345U, ~0U}) {
    faults->answer_fault(fault, true);
    faults->answer_fault(fault, false);
    EXPECT_FALSE(faults->answer_and_await(fault, Clock::now()));
  }
  const Fence fence = store();
  const auto event = rig->sink.await(Kind::access_fault);
  give_memory();
  faults->answer_fault(event.fault, true);
  faults->answer_fault(event.fault, false);  // too late
  rig->finish(fence);
}

TEST_P(Recovering, queues_are_told_apart) {
  allocation = GET((*rig)->allocate(block_size));
  const Fence first = store();
  const auto of_first = rig->sink.await(Kind::access_fault);
  const std::uint32_t number = faults->queue_of_fault(of_first.fault);
  give_memory();
  faults->answer_fault(of_first.fault, true);
  rig->finish(first);
  EXPECT_EQ((*rig)->queue_number(first), 0);

  rig->finish(rig->map(0, block_size, {}, Rights::none));
  std::atomic<std::uint32_t> other = number;
  rig->sink.on_access_fault([&](const RecordingSink::Event& event) {
    other = faults->queue_of_fault(event.fault);
    give_memory();
    faults->answer_fault(event.fault, true);
  });
  queue = GET((*rig)->create_queue());
  rig->finish(store());
  EXPECT_NE(other, number);
}

}  // namespace
}  // namespace sluice::device::testing
