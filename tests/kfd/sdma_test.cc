// SDMA queues: packets by packet, and what a GPU may reach. Layouts: Linux 6.1,
// vega10_sdma_pkt_open.h; interrupts and faults: kfd_events.c.
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

using Packet = std::vector<std::uint32_t>;

std::uint32_t low(std::uint64_t address) { return static_cast<std::uint32_t>(address); }
std::uint32_t high(std::uint64_t address) { return static_cast<std::uint32_t>(address >> 32); }

// A queue of GPU 0 with a ring of 4 KiB in GTT, and buffers of 64 KiB.
class SdmaRig : public KfdRig {
 public:
  SdmaRig() : KfdRig({.gpus = 2}) {
    ring_ = mapped(4096);
    abi::CreateQueue asked{};
    asked.ring_base_address = ring_;
    asked.ring_size = 4096;
    asked.gpu_id = gpu_id_of(0);
    asked.queue_type = abi::queue::sdma;
    asked.queue_percentage = 100;
    asked.read_pointer_address = FakeSurroundings::base + 64;
    EXPECT_EQ(call(abi::Call::create_queue, asked).error, 0);
    id_ = asked.queue_id;
  }
  // An address of a new buffer that is mapped on these GPUs.
  std::uint64_t mapped(std::uint64_t size, const std::vector<int>& on = {0}) {
    const std::uint64_t address = next_address;
    EXPECT_EQ(map(buffer(size), on).error, 0);
    return address;
  }
  std::uint64_t user(std::uint64_t offset) {
    EXPECT_EQ(allocate(4096, abi::memory::userptr, next_address, 0, FakeSurroundings::base + offset)
                  .error,
              0);
    const std::uint64_t address = next_address;
    next_address += gib;
    EXPECT_EQ(map(allocation.handle, {0}).error, 0);
    return address;
  }
  GpuMemory gpu(int number = 0) { return {machine.process(process).memory, world, number}; }
  Queue& queue() { return *machine.process(process).queues.find(id_); }

  // Puts packets into the ring, rings, and lets the queue run.
  void run(const std::vector<Packet>& packets) {
    GpuMemory memory = gpu();
    for (const Packet& packet : packets)
      for (const std::uint32_t word : packet) {
        ASSERT_TRUE(memory.write(ring_ + written_ % 4096, std::as_bytes(std::span(&word, 1))));
        written_ += 4;
      }
    std::memcpy(world.bytes({}, std::uint64_t{1} << 32, 8192) + queue().doorbell, &written_, 8);
    while (machine.run_queues()) {
    }
  }
  bool is_idle() { return queue().read == written_; }
  template <typename T>
  T value(std::uint64_t address) {
    T found{};
    EXPECT_TRUE(gpu().read(address, std::as_writable_bytes(std::span(&found, 1))));
    return found;
  }
  template <typename T>
  void set(std::uint64_t address, T value) {
    EXPECT_TRUE(gpu().write(address, std::as_bytes(std::span(&value, 1))));
  }

 private:
  std::uint64_t ring_ = 0;
  std::uint64_t written_ = 0;
  std::uint32_t id_ = 0;
};

Packet copy(std::uint64_t to, std::uint64_t from, std::uint32_t bytes) {
  return {1, bytes - 1, 0, low(from), high(from), low(to), high(to)};
}
Packet fence(std::uint64_t to, std::uint32_t value) { return {5, low(to), high(to), value}; }

TEST(KfdSdma, copies_writes_fills_and_fences_reach_memory_of_every_kind) {
  SdmaRig rig;
  const std::uint64_t filled = rig.mapped(65536);
  const std::uint64_t other = rig.mapped(65536);
  const std::uint64_t user = rig.user(8192);
  rig.run({{11U | 2U << 30, low(filled), high(filled), 0x1234abcd, 65535},
           copy(other, filled, 65536),
           copy(user + 4, other + 8, 4092),
           {2, low(other), high(other), 1, 77, 88},
           fence(user, 5),
           {1U | 1U << 27, 7, 0, low(other), high(other), low(filled + 16), high(filled + 16),
            low(filled + 32), high(filled + 32)}});
  EXPECT_TRUE(rig.is_idle());
  EXPECT_EQ(rig.value<std::uint32_t>(other + 65532), 0x1234abcdU);
  EXPECT_EQ(rig.value<std::uint32_t>(user + 4092), 0x1234abcdU);
  EXPECT_EQ(rig.value<std::uint32_t>(other + 4), 88U);
  EXPECT_EQ(rig.value<std::uint32_t>(user), 5U);
  EXPECT_EQ(rig.value<std::uint64_t>(filled + 16), (std::uint64_t{88} << 32) + 77);
  EXPECT_EQ(rig.value<std::uint64_t>(filled + 32), (std::uint64_t{88} << 32) + 77);
  std::uint64_t read = 0;
  std::memcpy(&read, rig.world.user.data() + 64, sizeof read);
  EXPECT_EQ(read, rig.queue().read);
}

TEST(KfdSdma, a_ring_goes_round) {
  SdmaRig rig;
  const std::uint64_t place = rig.mapped(4096);
  for (std::uint32_t round = 1; round < 3000; ++round) {
    rig.run({fence(place, round), {0}});
    ASSERT_EQ(rig.value<std::uint32_t>(place), round);
  }
}

TEST(KfdSdma, a_poll_holds_the_queue_until_the_value_is_there) {
  SdmaRig rig;
  const std::uint64_t place = rig.mapped(4096);
  rig.run({{8U | 1U << 31 | 3U << 28, low(place), high(place), 9, 0xff, 0}, fence(place + 4, 1)});
  EXPECT_FALSE(rig.is_idle());
  EXPECT_EQ(rig.value<std::uint32_t>(place + 4), 0U);
  rig.set<std::uint32_t>(place, 0xf09);
  rig.run({});
  EXPECT_TRUE(rig.is_idle());
  EXPECT_EQ(rig.value<std::uint32_t>(place + 4), 1U);
}

TEST(KfdSdma, atomics_add_and_timestamps_tell_the_clock) {
  SdmaRig rig;
  const std::uint64_t place = rig.mapped(4096);
  rig.set<std::uint64_t>(place, 1);
  rig.run({{10U | 47U << 25, low(place), high(place), ~0U, ~0U, 0, 0, 0},
           {10U | 15U << 25, low(place + 8), high(place + 8), 3, 0, 0, 0, 0},
           {13U | 2U << 8, low(place + 16), high(place + 16)}});
  EXPECT_EQ(rig.value<std::uint64_t>(place), 0U);
  EXPECT_EQ(rig.value<std::uint32_t>(place + 8), 3U);
  EXPECT_EQ(rig.value<std::uint64_t>(place + 16), 100'000'000U);
}

// kfd_signal_event_interrupt: the slot of the event must be written.
TEST(KfdSdma, a_trap_sets_the_event_whose_slot_was_written_or_all_such_events) {
  SdmaRig rig;
  ASSERT_EQ(rig.allocate(32768, abi::memory::gtt, 8 * gib).error, 0);
  abi::CreateEvent asked{};
  asked.auto_reset = 1;
  asked.event_page_offset = rig.allocation.handle;
  ASSERT_EQ(rig.call(abi::Call::create_event, asked).error, 0);
  ASSERT_EQ(rig.map(rig.allocation.handle, {0}).error, 0);
  const std::uint32_t first = asked.event_id;
  const std::uint32_t second = rig.event();
  for (std::uint32_t id = 0; id < 4096; ++id) rig.set(8 * gib + id * 8, ~std::uint64_t{0});
  const auto is_set = [&](std::uint32_t id) {
    rig.wait({id}, true, 0);
    return rig.waiting.wait_result == abi::event::complete;
  };
  rig.run({{6, first}});
  EXPECT_FALSE(is_set(first));  // no slot was written
  rig.run({fence(8 * gib + first * 8, 1), {6, first}});
  EXPECT_TRUE(is_set(first));
  EXPECT_EQ(rig.value<std::uint64_t>(8 * gib + first * 8), ~std::uint64_t{0});
  rig.run({fence(8 * gib + second * 8, 1), {6, 0x7777}});
  EXPECT_TRUE(is_set(second));
  EXPECT_FALSE(is_set(first));
}

// kfd_signal_vm_fault_event: cross-GPU strictness, too.
TEST(KfdSdma, memory_that_is_not_mapped_on_this_gpu_is_a_fault_and_stops_the_process) {
  SdmaRig rig;
  const std::uint64_t here = rig.mapped(4096);
  const std::uint64_t elsewhere = rig.mapped(4096, {1});
  const std::uint32_t event = rig.event(abi::event::memory, false);
  rig.run({copy(here, elsewhere, 8), fence(here, 1)});
  EXPECT_FALSE(rig.is_idle());
  EXPECT_EQ(rig.value<std::uint32_t>(here), 0U);
  rig.wait({event}, true, 0);
  ASSERT_EQ(rig.waiting.wait_result, abi::event::complete);
  std::array<std::uint32_t, 8> told{};
  ASSERT_TRUE(rig.world.read(FakeSurroundings::base, std::as_writable_bytes(std::span(told))));
  EXPECT_EQ(told[0], 1U);
  EXPECT_EQ(told[4], low(elsewhere));
  EXPECT_EQ(told[5], high(elsewhere));
  EXPECT_EQ(told[6], gpu_id_of(0));
  rig.run({});
  EXPECT_EQ(rig.value<std::uint32_t>(here), 0U);
}

TEST(KfdSdma, a_packet_that_is_not_served_is_told_and_holds_its_queue_for_ever) {
  SdmaRig rig;
  const std::uint64_t place = rig.mapped(4096);
  rig.run({{0x99}, fence(place, 1)});
  EXPECT_EQ(rig.world.unknown, 0x99U);
  EXPECT_FALSE(rig.is_idle());
  EXPECT_EQ(rig.value<std::uint32_t>(place), 0U);
}

TEST(KfdSdma, a_doorbell_that_no_program_can_have_rung_moves_nothing) {
  SdmaRig rig;
  const std::uint64_t place = rig.mapped(4096);
  for (const std::uint64_t wild : {std::uint64_t{1} << 40, ~std::uint64_t{0}, std::uint64_t{3}}) {
    std::memcpy(rig.world.bytes({}, std::uint64_t{1} << 32, 8192), &wild, 8);
    EXPECT_FALSE(rig.machine.run_queues());
  }
  rig.run({fence(place, 1)});
  EXPECT_EQ(rig.value<std::uint32_t>(place), 1U);
}

}  // namespace
}  // namespace sluice::kfd
