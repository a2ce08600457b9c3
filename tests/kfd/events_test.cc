// The ioctls of events, row by row; Linux 6.1, kfd_events.c.
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

using std::chrono::milliseconds;
constexpr std::uint32_t infinite = abi::event::infinite;

std::uint32_t page(KfdRig& rig, std::uint64_t size = 32768) {
  EXPECT_EQ(rig.allocate(size, abi::memory::gtt, 8 * gib).error, 0);
  abi::CreateEvent asked{};
  asked.event_page_offset = rig.allocation.handle;
  return static_cast<std::uint32_t>(rig.call(abi::Call::create_event, asked).error);
}

// kfd_event_init_process, allocate_event_notification_slot
TEST(KfdEvents, ids_of_signals_begin_at_1_and_those_of_others_at_4096) {
  KfdRig rig;
  EXPECT_EQ(rig.event(), 1U);
  EXPECT_EQ(rig.event(abi::event::debug), 2U);
  EXPECT_EQ(rig.event(abi::event::memory), 4096U);
  EXPECT_EQ(rig.one_event(abi::Call::destroy_event, 1), 0);
  EXPECT_EQ(rig.event(), 1U);
}

TEST(KfdEvents, a_new_signal_has_its_slot_cleared) {
  KfdRig rig;
  rig.event();
  EXPECT_EQ(rig.world.stored.file, 0U);  // the kernel's own page
  EXPECT_EQ(rig.world.stored.bytes, 8U);
  KfdRig with_page;
  EXPECT_EQ(page(with_page), 0U);
  EXPECT_EQ(with_page.world.stored.file, 1U);
}

// create_signal_event: by the mapped size, 256 without a page of the program's own
TEST(KfdEvents, signals_end_with_the_slots_of_the_page) {
  KfdRig rig;
  for (std::uint32_t id = 1; id < 256; ++id) EXPECT_EQ(rig.event(), id);
  abi::CreateEvent asked{};
  EXPECT_EQ(rig.call(abi::Call::create_event, asked).error, ENOSPC);
  EXPECT_EQ(rig.event(abi::event::memory), 4096U);
  EXPECT_EQ(rig.one_event(abi::Call::destroy_event, 100), 0);
  EXPECT_EQ(rig.event(), 100U);
}

// kfd_kmap_event_page
TEST(KfdEvents, a_page_is_set_once_and_must_be_a_buffer_that_the_kernel_can_map) {
  KfdRig rig;
  abi::CreateEvent unknown{};
  unknown.event_page_offset = std::uint64_t{gpu_id_of(0)} << 32 | 5;
  EXPECT_EQ(rig.call(abi::Call::create_event, unknown).error, EINVAL);
  EXPECT_EQ(page(rig, 4096), static_cast<std::uint32_t>(EINVAL));
  EXPECT_EQ(page(rig), 0U);
  EXPECT_EQ(page(rig), static_cast<std::uint32_t>(EINVAL));
}

// kfd_ioctl_free_memory_of_gpu
TEST(KfdEvents, the_page_cannot_be_freed) {
  KfdRig rig;
  ASSERT_EQ(page(rig), 0U);
  EXPECT_EQ(rig.free(rig.allocation.handle), EPERM);
}

// event_can_be_cpu_signaled
TEST(KfdEvents, only_signals_are_set_by_programs) {
  KfdRig rig;
  const std::uint32_t memory = rig.event(abi::event::memory);
  const std::uint32_t debug = rig.event(abi::event::debug);
  for (const abi::Call each : {abi::Call::set_event, abi::Call::reset_event}) {
    EXPECT_EQ(rig.one_event(each, memory), EINVAL);
    EXPECT_EQ(rig.one_event(each, debug), EINVAL);
    EXPECT_EQ(rig.one_event(each, 0), EINVAL);
    EXPECT_EQ(rig.one_event(each, 9999), EINVAL);
  }
  EXPECT_EQ(rig.one_event(abi::Call::destroy_event, 0), EINVAL);
}

// kfd_wait_on_events
TEST(KfdEvents, a_wait_for_what_is_set_completes_at_once_and_takes_it) {
  KfdRig rig;
  const std::uint32_t once = rig.event();
  const std::uint32_t lasting = rig.event(abi::event::signal, false);
  ASSERT_EQ(rig.one_event(abi::Call::set_event, once), 0);
  ASSERT_EQ(rig.one_event(abi::Call::set_event, lasting), 0);
  EXPECT_FALSE(rig.wait({once, lasting}, true, infinite).wait);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::complete);
  EXPECT_EQ(rig.wait({lasting}, true, 0).error, 0);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::complete);
  EXPECT_EQ(rig.wait({once}, true, 0).error, 0);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::timeout);
  ASSERT_EQ(rig.one_event(abi::Call::reset_event, lasting), 0);
  EXPECT_EQ(rig.wait({lasting}, true, 0).error, 0);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::timeout);
}

TEST(KfdEvents, a_wait_with_a_mistake_is_told_and_takes_nothing) {
  KfdRig rig;
  const std::uint32_t event = rig.event(abi::event::signal, false);
  EXPECT_EQ(rig.wait({event, 500}, false, infinite).error, EINVAL);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::failed);
  rig.waiting.events_ptr = 1;
  EXPECT_EQ(rig.call(abi::Call::wait_events, rig.waiting).error, EFAULT);
  rig.waiting.num_events = 0xffffffffU;
  EXPECT_EQ(rig.call(abi::Call::wait_events, rig.waiting).error, ENOMEM);
}

TEST(KfdEvents, a_wait_for_no_event_completes) {
  KfdRig rig;
  EXPECT_EQ(rig.wait({}, true, infinite).error, 0);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::complete);
}

TEST(KfdEvents, a_set_event_wakes_every_waiter_and_stays_set_only_if_there_was_none) {
  KfdRig rig;
  const std::uint32_t event = rig.event();
  const Answer first = rig.wait({event}, true, infinite);
  const Answer second = rig.wait({event}, true, infinite);
  ASSERT_TRUE(first.wait && second.wait);
  EXPECT_EQ(first.wait->until, never);
  ASSERT_EQ(rig.one_event(abi::Call::set_event, event), 0);
  EXPECT_EQ(rig.world.woken, (std::set{first.wait->number, second.wait->number}));
  for (const Answer& each : {first, second}) {
    EXPECT_EQ(rig.resume(each, false, rig.waiting).error, 0);
    EXPECT_EQ(rig.waiting.wait_result, abi::event::complete);
  }
  rig.wait({event}, true, 0);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::timeout);
}

TEST(KfdEvents, a_wait_for_all_waits_for_all) {
  KfdRig rig;
  const std::uint32_t first = rig.event();
  const std::uint32_t second = rig.event();
  const Answer begun = rig.wait({first, second}, true, infinite);
  ASSERT_EQ(rig.one_event(abi::Call::set_event, first), 0);
  EXPECT_TRUE(rig.resume(begun, false, rig.waiting).wait);
  ASSERT_EQ(rig.one_event(abi::Call::set_event, second), 0);
  EXPECT_FALSE(rig.resume(begun, false, rig.waiting).wait);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::complete);
}

// free_waiters: undo_auto_reset is true only after a signal
TEST(KfdEvents, a_wait_that_times_out_keeps_what_it_took_and_an_interrupted_one_gives_it_back) {
  KfdRig rig;
  const std::uint32_t taken = rig.event();
  const std::uint32_t other = rig.event();
  for (const bool interrupted : {false, true}) {
    ASSERT_EQ(rig.one_event(abi::Call::set_event, taken), 0);
    const Answer begun = rig.wait({taken, other}, true, 100);
    ASSERT_TRUE(begun.wait);
    rig.world.clock += milliseconds(interrupted ? 30 : 100);
    const Answer ended = rig.resume(begun, interrupted, rig.waiting);
    EXPECT_EQ(ended.error, interrupted ? restart : 0);
    EXPECT_EQ(rig.waiting.wait_result, interrupted ? abi::event::failed : abi::event::timeout);
    EXPECT_EQ(rig.waiting.timeout, interrupted ? 70U : 100U);  // the time that is left
    rig.wait({taken}, true, 0);
    EXPECT_EQ(rig.waiting.wait_result, interrupted ? abi::event::complete : abi::event::timeout);
  }
}

TEST(KfdEvents, a_planned_interruption_ends_a_wait_that_waits) {
  KfdRig rig;
  const std::uint32_t event = rig.event();
  rig.world.plan[{0, Step::wait}] = {.interrupts = true};
  EXPECT_FALSE(rig.wait({event}, true, abi::event::immediate).wait);  // it is not counted
  const Answer begun = rig.wait({event}, true, infinite);
  ASSERT_TRUE(begun.wait);
  EXPECT_TRUE(begun.wait->is_interrupted);
  EXPECT_EQ(rig.resume(begun, true, rig.waiting).error, restart);
  EXPECT_FALSE(rig.wait({event}, true, infinite).wait->is_interrupted);
}

// destroy_event: EIO for those that wait
TEST(KfdEvents, destroying_an_event_fails_its_waits) {
  KfdRig rig;
  const std::uint32_t event = rig.event();
  const Answer begun = rig.wait({event}, true, infinite);
  ASSERT_EQ(rig.one_event(abi::Call::destroy_event, event), 0);
  EXPECT_EQ(rig.world.woken.count(begun.wait->number), 1U);
  EXPECT_EQ(rig.resume(begun, false, rig.waiting).error, EIO);
  EXPECT_EQ(rig.waiting.wait_result, abi::event::failed);
}

// kfd_signal_reset_event, kgd2kfd_pre_reset
TEST(KfdEvents, a_hang_ends_in_a_reset_that_every_process_is_told) {
  KfdRig rig;
  const ProcessNumber other = rig.machine.add_process();
  const std::uint32_t event = rig.event(abi::event::hw_exception, false);
  const std::uint64_t handle = rig.buffer();
  const Answer waiting = rig.wait({event}, true, infinite);
  ASSERT_TRUE(waiting.wait);
  rig.world.plan[{2, Step::map}] = {.hangs = true};
  const Answer mapping = rig.map(handle, {0, 1, 2, 3});
  ASSERT_TRUE(mapping.wait);
  EXPECT_EQ(rig.mapping.n_success, 4U);
  EXPECT_EQ(rig.world.woken.count(waiting.wait->number), 1U);
  EXPECT_EQ(rig.resume(waiting, false, rig.waiting).wait->until, mapping.wait->until);
  rig.world.clock = mapping.wait->until;
  EXPECT_EQ(rig.resume(mapping, false, rig.mapping).error, 0);  // the fence ends with the reset
  EXPECT_EQ(rig.resume(waiting, false, rig.waiting).error, 0);
  abi::HwException told{};
  ASSERT_TRUE(rig.world.read(FakeSurroundings::base, std::as_writable_bytes(std::span(&told, 1))));
  EXPECT_EQ(told.gpu_id, gpu_id_of(2));
  EXPECT_EQ(told.memory_lost, 1U);
  EXPECT_EQ(told.reset_cause, 0U);
  EXPECT_TRUE(rig.machine.process(rig.process).is_evicted);
  EXPECT_TRUE(rig.machine.process(other).is_evicted);
  EXPECT_FALSE(rig.machine.process(rig.machine.add_process()).is_evicted);
}

}  // namespace
}  // namespace sluice::kfd
