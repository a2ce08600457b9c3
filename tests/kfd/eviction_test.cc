// Evictions, as `step=room action=fail` plans them, and the lines of SMI_EVENTS. Linux 6.1:
// kfd_process.c, evict_process_worker; kfd_smi_events.c.
#include "face/kfd/uapi/smi_events.hpp"
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

constexpr StepFault short_of_room{.fails = true};

// A machine in which GPU 1's memory is needed as soon as a buffer is mapped there.
class EvictionRig : public KfdRig {
 public:
  EvictionRig() : KfdRig({.gpus = 2}) {
    vram_ = buffer(4096, 1);
    other_ = buffer(4096, 0);
    EXPECT_EQ(allocate(4096, abi::memory::gtt, next_address, 1).error, 0);
    gtt_ = allocation.handle;
    next_address += gib;
    evict();
  }
  void evict() {
    world.plan[{1, Step::room}] = short_of_room;
    EXPECT_EQ(map(vram_, {1}).error, 0);
  }
  Process& its() { return machine.process(process); }
  const Buffer& vram() { return *its().memory.find(vram_); }
  const Buffer& other() { return *its().memory.find(other_); }
  const Buffer& gtt() { return *its().memory.find(gtt_); }
  void pass(Time time) {
    world.clock += time;
    (void)machine.run_queues();
  }
  std::vector<std::uint32_t> events() const {
    std::vector<std::uint32_t> all;
    for (const auto& each : world.told) all.push_back(each.event);
    return all;
  }
  std::uint64_t vram_ = 0, other_ = 0, gtt_ = 0;
};

TEST(KfdEviction, memory_of_the_gpu_leaves_and_comes_back_after_100_ms) {
  EvictionRig rig;
  rig.pass(Time{0});
  EXPECT_TRUE(rig.its().eviction.stops_queues());
  EXPECT_TRUE(rig.vram().is_in_gtt);
  EXPECT_FALSE(rig.other().is_in_gtt);
  EXPECT_FALSE(rig.gtt().is_in_gtt);
  EXPECT_EQ(rig.vram().mapped_on, 0b10U);  // mappings stay
  EXPECT_EQ(rig.machine.limits().vram_used(1), 4096U);
  rig.pass(std::chrono::milliseconds(99));
  EXPECT_TRUE(rig.its().eviction.stops_queues());
  rig.pass(std::chrono::milliseconds(1));
  EXPECT_FALSE(rig.its().eviction.stops_queues());
  EXPECT_FALSE(rig.vram().is_in_gtt);
  using Events = std::vector<std::uint32_t>;
  EXPECT_EQ(rig.events(), (Events{smi::queue_eviction, smi::queue_eviction, smi::queue_restore,
                                  smi::queue_restore}));  // on all GPUs
  EXPECT_EQ(rig.world.told[1],
            (FakeSurroundings::Told{1, smi::queue_eviction, "9 1000000000 -1 1036 2\n"}));
  EXPECT_EQ(rig.world.told[3],
            (FakeSurroundings::Told{1, smi::queue_restore, "a 1100000000 -1 1036\n"}));
}

TEST(KfdEviction, without_room_at_the_end_bytes_stay_in_gtt_until_the_next_one_ends) {
  EvictionRig rig;
  rig.pass(Time{0});
  rig.world.plan[{1, Step::room}] = short_of_room;
  rig.pass(Eviction::restored_after);
  EXPECT_FALSE(rig.its().eviction.stops_queues());
  EXPECT_TRUE(rig.vram().is_in_gtt);
  EXPECT_EQ(rig.unmap(rig.vram_, {1}).error, 0);
  rig.evict();
  rig.pass(Eviction::least_active);
  rig.pass(Eviction::restored_after);
  EXPECT_FALSE(rig.vram().is_in_gtt);
}

TEST(KfdEviction, a_process_runs_for_10_ms_in_between) {
  EvictionRig rig;
  rig.pass(Time{0});
  rig.pass(Eviction::restored_after);
  EXPECT_EQ(rig.unmap(rig.vram_, {1}).error, 0);
  rig.evict();
  rig.pass(Eviction::least_active - Time{1});
  EXPECT_FALSE(rig.its().eviction.stops_queues());
  rig.pass(Time{1});
  EXPECT_TRUE(rig.its().eviction.stops_queues());
}

TEST(KfdEviction, queues_stop_and_go_on) {
  EvictionRig rig;
  const std::uint64_t ring = rig.next_address;
  ASSERT_EQ(rig.map(rig.buffer(4096, 0), {0}).error, 0);
  abi::CreateQueue asked{};
  asked.ring_base_address = ring;
  asked.ring_size = 4096;
  asked.gpu_id = gpu_id_of(0);
  asked.queue_type = abi::queue::sdma;
  asked.queue_percentage = 100;
  ASSERT_EQ(rig.call(abi::Call::create_queue, asked).error, 0);
  const std::uint64_t rung = 16;  // four NOPs
  std::memcpy(rig.world.bytes({}, std::uint64_t{1} << 32, 8192), &rung, sizeof rung);
  const Queue& queue = *rig.its().queues.find(asked.queue_id);
  rig.pass(Time{0});
  EXPECT_EQ(queue.read, 0U);
  rig.pass(Eviction::restored_after);
  EXPECT_EQ(queue.read, rung);
}

TEST(KfdEviction, a_reset_is_told_before_and_after_and_is_not_restored) {
  EvictionRig rig;
  rig.world.plan[{0, Step::map}] = {.hangs = true};
  ASSERT_EQ(rig.map(rig.other_, {0}).error, 0);
  rig.world.told.clear();
  rig.pass(Machine::hang_timeout);
  EXPECT_TRUE(rig.its().is_evicted);
  ASSERT_GE(rig.world.told.size(), 2U);
  EXPECT_EQ(rig.world.told[0], (FakeSurroundings::Told{0, smi::gpu_pre_reset, "3 1\n"}));
  EXPECT_EQ(rig.world.told[1], (FakeSurroundings::Told{0, smi::gpu_post_reset, "4 1\n"}));
  rig.pass(Eviction::restored_after);
  EXPECT_TRUE(rig.its().is_evicted);
}

// kfd_ioctl_smi_events
TEST(KfdEviction, events_are_followed_by_a_file_of_a_gpu) {
  KfdRig rig({.gpus = 2});
  abi::SmiEvents asked{gpu_id_of(1), 0};
  EXPECT_EQ(rig.call(abi::Call::smi_events, asked).error, 0);
  EXPECT_EQ(asked.anon_fd, 51U);
  asked.gpu_id = 5;
  EXPECT_EQ(rig.call(abi::Call::smi_events, asked).error, EINVAL);
  rig.world.event_files = false;
  asked.gpu_id = gpu_id_of(1);
  EXPECT_EQ(rig.call(abi::Call::smi_events, asked).error, EMFILE);
}

}  // namespace
}  // namespace sluice::kfd
