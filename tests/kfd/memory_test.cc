// The ioctls of memory, row by row. Each test says where Linux 6.1 has the rule: C is
// kfd_chardev.c, G is amdgpu_amdkfd_gpuvm.c.
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

using abi::memory::doorbell;
using abi::memory::gtt;
using abi::memory::mmio_remap;
using abi::memory::userptr;
using abi::memory::vram;

constexpr StepFault failing{.fails = true};

// C: kfd_ioctl_acquire_vm
TEST(KfdMemory, a_vm_is_acquired_once_and_again_only_with_the_same_file) {
  KfdRig rig({.gpus = 2}, false);
  const auto acquire = [&](std::uint32_t descriptor, std::uint32_t id) {
    abi::AcquireVm asked{descriptor, id};
    return rig.call(abi::Call::acquire_vm, asked).error;
  };
  rig.world.files[200] = {17, 0};
  EXPECT_EQ(acquire(100, 0), EINVAL);
  EXPECT_EQ(acquire(99, gpu_id_of(0)), EINVAL);   // no such descriptor
  EXPECT_EQ(acquire(101, gpu_id_of(0)), EINVAL);  // the file of another GPU
  EXPECT_EQ(acquire(100, gpu_id_of(0)), 0);
  EXPECT_EQ(acquire(100, gpu_id_of(0)), 0);
  EXPECT_EQ(acquire(200, gpu_id_of(0)), EBUSY);
}

// C: kfd_bind_process_to_device
TEST(KfdMemory, without_a_vm_nothing_is_allocated) {
  KfdRig rig({.gpus = 1}, false);
  EXPECT_EQ(rig.allocate(4096, vram, gib).error, ENODEV);
}

// C: kfd_ioctl_alloc_memory_of_gpu; G: amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu
TEST(KfdMemory, an_allocation_with_a_mistake_is_refused_and_charges_nothing) {
  KfdRig rig({.gpus = 2, .large_bar = false});
  EXPECT_EQ(rig.allocate(0, vram, gib).error, EINVAL);
  EXPECT_EQ(rig.allocate(4096, 0, gib).error, EINVAL);
  EXPECT_EQ(rig.allocate(4096, vram | abi::memory::host_accessible, gib).error, EINVAL);
  EXPECT_EQ(rig.allocate(4096, doorbell, gib).error, EINVAL);
  EXPECT_EQ(rig.allocate(8192, mmio_remap, gib).error, EINVAL);
  EXPECT_EQ(rig.allocate(4096, userptr, gib).error, EINVAL);             // no address
  EXPECT_EQ(rig.allocate(4096, userptr, gib, 0, 0x4000).error, EFAULT);  // nothing is there
  EXPECT_EQ(rig.allocate(~std::uint64_t{0}, vram, gib).error, ENOMEM);
  rig.allocation = {
      .va_addr = gib, .size = 4096, .handle = 0, .mmap_offset = 0, .gpu_id = 3, .flags = vram};
  EXPECT_EQ(rig.call(abi::Call::alloc_memory, rig.allocation).error, EINVAL);
  EXPECT_EQ(rig.machine.limits().vram_used(0), 0U);
  EXPECT_EQ(rig.machine.limits().system_used(), 0U);
}

TEST(KfdMemory, every_kind_of_memory_is_allocated) {
  KfdRig rig;
  EXPECT_EQ(rig.allocate(4096, vram, 0).error, 0);  // also at address 0
  EXPECT_NE(rig.allocation.mmap_offset, 0U);        // 0 would mean that it cannot be mapped
  EXPECT_EQ(rig.allocate(4096, gtt, gib).error, 0);
  EXPECT_EQ(rig.allocate(4096, userptr, gib, 0, FakeSurroundings::base).error, 0);
  EXPECT_EQ(rig.allocate(8192, doorbell, gib).error, 0);
  EXPECT_EQ(rig.allocate(4096, mmio_remap, gib).error, 0);
}

// C: MAKE_HANDLE, kfd_process_device_create_obj_handle
TEST(KfdMemory, handles_have_the_gpu_and_the_lowest_free_number_from_0) {
  KfdRig rig;
  EXPECT_EQ(rig.buffer(4096, 2), std::uint64_t{gpu_id_of(2)} << 32);
  EXPECT_EQ(rig.buffer(4096, 2), (std::uint64_t{gpu_id_of(2)} << 32) + 1);
  EXPECT_EQ(rig.buffer(4096, 1), std::uint64_t{gpu_id_of(1)} << 32);
  EXPECT_EQ(rig.free(std::uint64_t{gpu_id_of(2)} << 32), 0);
  EXPECT_EQ(rig.buffer(4096, 2), std::uint64_t{gpu_id_of(2)} << 32);
}

// G: amdgpu_amdkfd_gpuvm_init_mem_limits, amdgpu_amdkfd_reserve_mem_limit
TEST(KfdMemory, limits_are_fifteen_sixteenths_and_three_eighths_of_the_host_and_vram_less_tables) {
  KfdRig rig({.gpus = 2, .vram = gib});
  const Limits& limits = rig.machine.limits();
  EXPECT_EQ(limits.system_limit(), 60 * gib);
  EXPECT_EQ(limits.gtt_limit(), 24 * gib);
  EXPECT_EQ(limits.vram_limit(), gib - 8 * mib);
  // With 66 GiB in all, 1/16384 of it is less than 8 MiB; with much memory it is more.
  KfdRig large({.gpus = 64, .chip = Chip::gfx942});
  EXPECT_EQ(large.machine.limits().vram_limit(), 192 * gib - (64 * gib + 64 * 192 * gib) / 16384);
}

TEST(KfdMemory, what_passes_a_limit_is_refused_and_what_just_fits_is_not) {
  KfdRig rig({.gpus = 2, .vram = gib});
  EXPECT_EQ(rig.allocate(gib - 8 * mib + 1, vram, gib).error, ENOMEM);
  EXPECT_EQ(rig.allocate(gib - 8 * mib, vram, gib).error, 0);
  EXPECT_EQ(rig.allocate(1, vram, gib).error, ENOMEM);
  EXPECT_EQ(rig.allocate(4096, vram, gib, 1).error, 0);  // the other GPU's
  EXPECT_EQ(rig.allocate(24 * gib + 4096, gtt, gib).error, ENOMEM);
  EXPECT_EQ(rig.allocate(24 * gib, gtt, gib).error, 0);
  EXPECT_EQ(rig.allocate(4096, gtt, gib).error, ENOMEM);
  EXPECT_EQ(rig.allocate(4096, userptr, gib, 0, FakeSurroundings::base).error, 0);
}

TEST(KfdMemory, freeing_gives_back_what_was_charged) {
  KfdRig rig;
  for (const std::uint32_t kind : {vram, gtt, userptr}) {
    ASSERT_EQ(rig.allocate(12345, kind, gib, 1, FakeSurroundings::base).error, 0);
    EXPECT_EQ(rig.free(rig.allocation.handle), 0);
  }
  EXPECT_EQ(rig.machine.limits().vram_used(1), 0U);
  EXPECT_EQ(rig.machine.limits().system_used(), 0U);
  EXPECT_EQ(rig.machine.limits().gtt_used(), 0U);
}

// G: amdgpu_amdkfd_get_available_memory
TEST(KfdMemory, what_is_available_counts_each_buffer_as_whole_chunks_and_is_never_negative) {
  KfdRig rig({.gpus = 1, .vram = 64 * mib});
  const auto available = [&] {
    abi::AvailableMemory asked{0, gpu_id_of(0), 0};
    EXPECT_EQ(rig.call(abi::Call::available_memory, asked).error, 0);
    return asked.available;
  };
  EXPECT_EQ(available(), 56 * mib);
  for (std::uint64_t count = 1; count <= 28; ++count) {
    rig.buffer(4096);
    EXPECT_EQ(available(), (28 - count) * 2 * mib);
  }
  rig.buffer(4096);  // 28 x 4 KiB is not much, so there is room
  EXPECT_EQ(available(), 0U);
  abi::AvailableMemory wrong{0, 5, 0};
  EXPECT_EQ(rig.call(abi::Call::available_memory, wrong).error, EINVAL);
}

// C: kfd_ioctl_map_memory_to_gpu
TEST(KfdMemory, mapping_checks_numbers_then_ids_then_handle) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  EXPECT_EQ(rig.map(handle, {}).error, EINVAL);
  EXPECT_EQ(rig.map(handle, {0, 1}, 3).error, EINVAL);
  abi::MapMemory unreadable{handle, 8, 1, 0};
  EXPECT_EQ(rig.call(abi::Call::map_memory, unreadable).error, EFAULT);
  abi::MapMemory huge{handle, FakeSurroundings::base, 0xffffffffU, 0};
  EXPECT_EQ(rig.call(abi::Call::map_memory, huge).error, ENOMEM);
  EXPECT_EQ(rig.map(handle + 1, {0}).error, ENOMEM);
  EXPECT_EQ(rig.map(0, {0}).error, EINVAL);
  EXPECT_EQ(rig.map(handle, {0, -1, 2}).error, EINVAL);
  EXPECT_EQ(rig.mapping.n_success, 1U);  // the first was mapped, the third not touched
  EXPECT_EQ(rig.mapped_on(handle), 1U);
}

TEST(KfdMemory, mapping_twice_succeeds_and_does_nothing) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  EXPECT_EQ(rig.map(handle, {0, 1}).error, 0);
  EXPECT_EQ(rig.mapping.n_success, 2U);
  EXPECT_EQ(rig.machine.dispatches(), 2U);
  EXPECT_EQ(rig.map(handle, {1, 0}).error, 0);
  EXPECT_EQ(rig.machine.dispatches(), 2U);
}

// The source text's question: ENOMEM on the third of four, then release.
TEST(KfdMemory, a_failure_on_the_third_of_four_leaves_two_mapped_and_tells_it) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{2, Step::map}] = failing;
  EXPECT_EQ(rig.map(handle, {0, 1, 2, 3}).error, ENOMEM);
  EXPECT_EQ(rig.mapping.n_success, 2U);
  EXPECT_EQ(rig.mapped_on(handle), 0b0011U);
  // Released as if nothing were mapped: refused, and the memory stays charged.
  EXPECT_EQ(rig.free(handle), EBUSY);
  EXPECT_EQ(rig.machine.limits().vram_used(0), 4096U);
  // As the report says it: the prefix is unmapped first.
  EXPECT_EQ(rig.unmap(handle, {0, 1}).error, 0);
  EXPECT_EQ(rig.free(handle), 0);
  EXPECT_EQ(rig.machine.limits().vram_used(0), 0U);
}

TEST(KfdMemory, a_call_that_failed_goes_on_where_it_stopped) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{2, Step::map}] = failing;
  EXPECT_EQ(rig.map(handle, {0, 1, 2, 3}).error, ENOMEM);
  EXPECT_EQ(rig.map(handle, {0, 1, 2, 3}, rig.mapping.n_success).error, 0);
  EXPECT_EQ(rig.mapping.n_success, 4U);
  EXPECT_EQ(rig.machine.dispatches(), 4U);
}

// G: amdgpu_amdkfd_gpuvm_sync_memory; the restart that the source text describes
TEST(KfdMemory, a_restart_after_a_signal_only_waits) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{1, Step::map}] = {.delay = std::chrono::milliseconds(50)};
  const Answer first = rig.map(handle, {0, 1, 2, 3});
  ASSERT_TRUE(first.wait);
  EXPECT_EQ(first.wait->until, rig.world.clock + std::chrono::milliseconds(50));
  EXPECT_EQ(rig.resume(first, true, rig.mapping).error, restart);
  EXPECT_EQ(rig.mapping.n_success, 4U);
  EXPECT_EQ(rig.machine.dispatches(), 4U);
  const Answer again = rig.call(abi::Call::map_memory, rig.mapping);
  ASSERT_TRUE(again.wait);
  EXPECT_EQ(again.wait->until, first.wait->until);
  rig.world.clock = again.wait->until;
  const Answer last = rig.resume(again, false, rig.mapping);
  EXPECT_EQ(last.error, 0);
  EXPECT_FALSE(last.wait);
  EXPECT_EQ(rig.machine.dispatches(), 4U);
}

// A failure returns at once, without the wait for those that were mapped.
TEST(KfdMemory, a_failure_does_not_wait_for_those_before_it) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  rig.world.plan[{0, Step::map}] = {.delay = std::chrono::seconds(5)};
  rig.world.plan[{1, Step::map}] = failing;
  const Answer answer = rig.map(handle, {0, 1});
  EXPECT_EQ(answer.error, ENOMEM);
  EXPECT_FALSE(answer.wait);
}

// amdgpu_vm.c: amdgpu_vm_bo_map
TEST(KfdMemory, two_buffers_at_the_same_addresses_cannot_be_mapped_on_the_same_gpu) {
  KfdRig rig;
  ASSERT_EQ(rig.allocate(8192, vram, gib).error, 0);
  const std::uint64_t first = rig.allocation.handle;
  ASSERT_EQ(rig.allocate(4096, vram, gib + 4096, 1).error, 0);
  const std::uint64_t second = rig.allocation.handle;
  EXPECT_EQ(rig.map(first, {0}).error, 0);
  EXPECT_EQ(rig.map(second, {1}).error, 0);
  EXPECT_EQ(rig.map(second, {0}).error, EINVAL);
  EXPECT_EQ(rig.unmap(first, {0}).error, 0);
  EXPECT_EQ(rig.map(second, {0}).error, 0);
  ASSERT_EQ(rig.allocate(4096, vram, gib * 2 + 1).error, 0);  // no whole page
  EXPECT_EQ(rig.map(rig.allocation.handle, {0}).error, EINVAL);
  ASSERT_EQ(rig.allocate(4096, vram, ~std::uint64_t{4095}).error, 0);
  EXPECT_EQ(rig.map(rig.allocation.handle, {0}).error, EINVAL);
}

// C: kfd_ioctl_unmap_memory_from_gpu
TEST(KfdMemory, unmapping_is_ordered_and_refuses_what_is_not_mapped) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  EXPECT_EQ(rig.unmap(handle, {0}).error, EINVAL);
  ASSERT_EQ(rig.map(handle, {0, 2}).error, 0);
  EXPECT_EQ(rig.unmap(handle, {0, 1, 2}).error, EINVAL);
  EXPECT_EQ(rig.mapping.n_success, 1U);
  EXPECT_EQ(rig.mapped_on(handle), 0b100U);
  EXPECT_EQ(rig.unmap(handle, {0, 1, 2}, 2).error, 0);
  EXPECT_EQ(rig.mapped_on(handle), 0U);
  EXPECT_EQ(rig.unmap(handle + 1, {0}).error, ENOMEM);
}

// C: kfd_ioctl_free_memory_of_gpu
TEST(KfdMemory, freeing_the_unknown_and_freeing_twice_are_invalid) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer();
  EXPECT_EQ(rig.free(handle), 0);
  EXPECT_EQ(rig.free(handle), EINVAL);
  EXPECT_EQ(rig.free(~std::uint64_t{0}), EINVAL);
}

TEST(KfdMemory, a_buffer_for_an_aql_queue_has_half_the_bytes_behind_it) {
  KfdRig rig;
  ASSERT_EQ(rig.allocate(16384, gtt | abi::memory::aql_queue, gib).error, 0);
  EXPECT_EQ(rig.free(rig.allocation.handle), 0);
  EXPECT_EQ(rig.world.discarded, 8192U);
}

// kfd_process.c: kfd_process_free_outstanding_kfd_bos
TEST(KfdMemory, a_process_that_ends_gives_everything_back) {
  KfdRig rig;
  const std::uint64_t handle = rig.buffer(mib);
  ASSERT_EQ(rig.map(handle, {0, 1, 2, 3}).error, 0);
  rig.machine.remove_process(rig.process);
  EXPECT_EQ(rig.machine.limits().vram_used(0), 0U);
  EXPECT_EQ(rig.world.discarded, mib);
}

// C: kfd_ioctl
TEST(KfdMemory, calls_that_do_not_exist_or_are_not_served_say_so) {
  KfdRig rig;
  std::uint64_t none = 0;
  for (const std::uint32_t number : {0x00U, 0x24U, 0xffU})
    EXPECT_EQ(rig.call(static_cast<abi::Call>(number), none).error, ENOTTY);
  EXPECT_EQ(rig.call(abi::Call::debug_register, none).error, EPERM);
  EXPECT_EQ(rig.call(abi::Call::criu, none).error, ENOTTY);
  EXPECT_STREQ(Machine::unserved_name(0x22), "CRIU_OP");
  EXPECT_EQ(Machine::unserved_name(0x18), nullptr);
}

TEST(KfdMemory, short_arguments_are_padded_with_zeros_and_long_ones_are_left_alone) {
  KfdRig rig;
  std::uint32_t half = 7;  // of a version
  EXPECT_EQ(rig.call(abi::Call::get_version, half).error, 0);
  EXPECT_EQ(half, abi::version_major);
  std::array<std::uint32_t, 300> more{};
  more[299] = 5;
  EXPECT_EQ(rig.call(abi::Call::get_version, more).error, 0);
  EXPECT_EQ(more[1], abi::version_minor);
  EXPECT_EQ(more[299], 5U);
}

}  // namespace
}  // namespace sluice::kfd
