// Queues, SVM attributes and what a process asks about itself; Linux 6.1: kfd_chardev.c, kfd_svm.c.
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

abi::CreateQueue good_queue() {
  abi::CreateQueue asked{};
  asked.ring_base_address = 0x200000;
  asked.ring_size = 4096;
  asked.gpu_id = gpu_id_of(0);
  asked.queue_type = abi::queue::compute_aql;
  asked.queue_percentage = 100;
  asked.queue_priority = 7;
  return asked;
}

int create(KfdRig& rig, abi::CreateQueue asked) {
  return rig.call(abi::Call::create_queue, asked).error;
}

// set_queue_properties_from_user
TEST(KfdQueues, numbers_are_checked_before_the_gpu) {
  KfdRig rig;
  const auto with = [&](auto change) {
    abi::CreateQueue asked = good_queue();
    asked.gpu_id = 1;
    change(asked);
    return create(rig, asked);
  };
  EXPECT_EQ(with([](auto& asked) { asked.queue_percentage = 101; }), EINVAL);
  EXPECT_EQ(with([](auto& asked) { asked.queue_priority = 16; }), EINVAL);
  EXPECT_EQ(with([](auto& asked) { asked.ring_size = 5000; }), EINVAL);
  EXPECT_EQ(with([](auto& asked) { asked.ring_base_address = ~std::uint64_t{0}; }), EFAULT);
  EXPECT_EQ(with([](auto& asked) { asked.write_pointer_address = ~std::uint64_t{0}; }), EFAULT);
  EXPECT_EQ(with([](auto& asked) { asked.queue_type = 4; }), not_supported_type);
  EXPECT_EQ(with([](auto&) {}), EINVAL);  // at last the GPU
}

TEST(KfdQueues, a_queue_needs_a_vm) {
  KfdRig rig({.gpus = 1}, false);
  EXPECT_EQ(create(rig, good_queue()), ESRCH);
}

// kfd_process_queue_manager.c: pqm_create_queue
TEST(KfdQueues, a_gpu_gives_a_process_127_queues_and_each_its_doorbell) {
  KfdRig rig({.gpus = 2});
  std::set<std::uint64_t> doorbells;
  for (std::uint32_t id = 0; id < 127; ++id) {
    abi::CreateQueue asked = good_queue();
    ASSERT_EQ(rig.call(abi::Call::create_queue, asked).error, 0);
    EXPECT_EQ(asked.queue_id, id);
    doorbells.insert(asked.doorbell_offset);
  }
  EXPECT_EQ(doorbells.size(), 127U);
  EXPECT_EQ(create(rig, good_queue()), ENOSPC);
  abi::CreateQueue elsewhere = good_queue();
  elsewhere.gpu_id = gpu_id_of(1);
  EXPECT_EQ(create(rig, elsewhere), 0);
  abi::DestroyQueue gone{3, 0};
  EXPECT_EQ(rig.call(abi::Call::destroy_queue, gone).error, 0);
  EXPECT_EQ(rig.call(abi::Call::destroy_queue, gone).error, EINVAL);
  EXPECT_EQ(create(rig, good_queue()), 0);
}

// allocate_sdma_queue
TEST(KfdQueues, sdma_queues_end_with_the_engines) {
  KfdRig rig;
  abi::CreateQueue asked = good_queue();
  asked.queue_type = abi::queue::sdma;
  for (int count = 0; count < 16; ++count) EXPECT_EQ(create(rig, asked), 0);
  EXPECT_EQ(create(rig, asked), ENOMEM);
}

// pqm_update_queue_properties, is_queue_active
TEST(KfdQueues, an_update_with_no_share_or_no_ring_stops_the_queue) {
  KfdRig rig;
  abi::CreateQueue asked = good_queue();
  asked.ring_size = 64;
  ASSERT_EQ(rig.call(abi::Call::create_queue, asked).error, 0);
  const Queue& queue = *rig.machine.process(rig.process).queues.find(asked.queue_id);
  EXPECT_EQ(queue.ring_size, 1024U);  // clamped
  EXPECT_TRUE(queue.is_active());
  abi::UpdateQueue update{asked.ring_base_address, asked.queue_id, 4096, 0, 3};
  EXPECT_EQ(rig.call(abi::Call::update_queue, update).error, 0);
  EXPECT_FALSE(queue.is_active());
  update.queue_percentage = 50;
  EXPECT_EQ(rig.call(abi::Call::update_queue, update).error, 0);
  EXPECT_TRUE(queue.is_active());
  update.queue_priority = 16;
  EXPECT_EQ(rig.call(abi::Call::update_queue, update).error, EINVAL);
  update = {0, 99, 4096, 50, 3};
  EXPECT_EQ(rig.call(abi::Call::update_queue, update).error, EFAULT);
}

// kfd_ioctl_set_cu_mask
TEST(KfdQueues, masks_of_units_are_whole_words_and_end_at_1024) {
  KfdRig rig;
  abi::CreateQueue asked = good_queue();
  ASSERT_EQ(rig.call(abi::Call::create_queue, asked).error, 0);
  const auto set = [&](std::uint32_t id, std::uint32_t count, std::uint64_t address) {
    abi::SetCuMask mask{id, count, address};
    return rig.call(abi::Call::set_cu_mask, mask).error;
  };
  EXPECT_EQ(set(0, 33, FakeSurroundings::base), EINVAL);
  EXPECT_EQ(set(0, 0, FakeSurroundings::base), EINVAL);
  EXPECT_EQ(set(0, 32, 1), EFAULT);
  EXPECT_EQ(set(5, 32, FakeSurroundings::base), EFAULT);
  EXPECT_EQ(set(0, 4096, FakeSurroundings::base), 0);
  EXPECT_EQ(rig.machine.process(rig.process).queues.find(0)->cu_mask.size(), 32U);
}

struct SvmCall {
  abi::Svm head{};
  std::array<abi::SvmAttribute, 4> attributes{};
};

constexpr std::uint64_t at = FakeSurroundings::base;

SvmCall svm(KfdRig& rig, std::uint32_t op, std::uint64_t address, std::uint64_t size,
            std::initializer_list<abi::SvmAttribute> attributes, int error = 0) {
  SvmCall asked{{address, size, op, static_cast<std::uint32_t>(attributes.size())}, {}};
  std::ranges::copy(attributes, asked.attributes.begin());
  EXPECT_EQ(rig.call(abi::Call::svm, asked).error, error);
  return asked;
}

// kfd_ioctl_svm, svm_range_check_attr, svm_range_is_valid
TEST(KfdSvm, mistakes_are_told_in_the_kernels_order) {
  KfdRig rig;
  const auto set = abi::svm::set_attributes;
  svm(rig, set, at + 1, 4096, {}, EINVAL);
  svm(rig, set, at, 100, {}, EINVAL);
  svm(rig, set, 0, 4096, {}, EINVAL);
  svm(rig, set, at, 0, {}, EINVAL);
  svm(rig, 7, at, 4096, {}, EINVAL);
  svm(rig, set, 4096, 4096, {{99, 0}}, EINVAL);  // attributes first
  svm(rig, set, 4096, 4096, {{abi::svm::granularity, 9}}, EFAULT);
  svm(rig, set, at, 4096, {{abi::svm::access, 5}}, EINVAL);
  svm(rig, set, at, 4096, {{abi::svm::prefetch_location, abi::svm::undefined}}, EINVAL);
  svm(rig, set, at, 4096, {{abi::svm::preferred_location, abi::svm::undefined}}, 0);
  SvmCall more{{at, 4096, set, 0x10000000}, {}};
  EXPECT_EQ(rig.call(abi::Call::svm, more).error, EINVAL);
}

// svm_range_get_attr
TEST(KfdSvm, pages_answer_what_all_of_them_agree_on) {
  KfdRig rig;
  const auto set = abi::svm::set_attributes;
  const std::uint32_t gpu = gpu_id_of(1);
  svm(rig, set, at, 4096,
      {{abi::svm::preferred_location, gpu}, {abi::svm::access, gpu}, {abi::svm::set_flags, 8}});
  svm(rig, set, at + 8192, 4096, {{abi::svm::preferred_location, 0}, {abi::svm::granularity, 255}});
  const auto get = [&](std::uint64_t address, std::uint64_t size) {
    return svm(rig, abi::svm::get_attributes, address, size,
               {{abi::svm::preferred_location, 0},
                {abi::svm::access, gpu},
                {abi::svm::set_flags, 0},
                {abi::svm::granularity, 0}})
        .attributes;
  };
  auto found = get(at, 4096);
  EXPECT_EQ(found[0].value, gpu);
  EXPECT_EQ(found[1].type, abi::svm::access);
  EXPECT_EQ(found[2].value, 3U | 8U);
  EXPECT_EQ(found[3].value, 9U);
  found = get(at + 8192, 4096);
  EXPECT_EQ(found[1].type, abi::svm::no_access);
  EXPECT_EQ(found[3].value, 63U);  // clamped
  found = get(at, 3 * 4096);
  EXPECT_EQ(found[0].value, abi::svm::undefined);
  EXPECT_EQ(found[1].type, abi::svm::no_access);
  EXPECT_EQ(found[2].value, 3U);
  EXPECT_EQ(found[3].value, 9U);
  found = get(at + 65536, 4096);  // never set
  EXPECT_EQ(found[0].value, abi::svm::undefined);
  svm(rig, abi::svm::get_attributes, at, 4096, {{abi::svm::no_access, gpu}}, EINVAL);
}

TEST(KfdSvm, with_xnack_pages_without_attributes_are_accessible) {
  KfdRig rig({.gpus = 2, .xnack = true});
  const auto found =
      svm(rig, abi::svm::get_attributes, at, 4096, {{abi::svm::access, gpu_id_of(1)}});
  EXPECT_EQ(found.attributes[0].type, abi::svm::access);
}

// kfd_ioctl_alloc_memory_of_gpu; svm_range_check_vm
TEST(KfdSvm, buffers_and_ranges_do_not_share_addresses) {
  KfdRig rig;
  svm(rig, abi::svm::set_attributes, at, 4096, {});
  EXPECT_EQ(rig.allocate(4096, abi::memory::vram, at).error, EADDRINUSE);
  EXPECT_EQ(rig.allocate(4096, abi::memory::userptr, gib, 0, at).error, EADDRINUSE);
  ASSERT_EQ(rig.allocate(4096, abi::memory::vram, at + 4096).error, 0);
  ASSERT_EQ(rig.map(rig.allocation.handle, {0}).error, 0);
  svm(rig, abi::svm::set_attributes, at + 4096, 4096, {}, EADDRINUSE);
}

// kfd_ioctl_set_xnack_mode
TEST(KfdProcess, xnack_is_asked_set_and_refused) {
  KfdRig rig;
  const auto set = [&](std::int32_t mode) {
    abi::SetXnackMode asked{mode};
    const int error = rig.call(abi::Call::set_xnack_mode, asked).error;
    return std::pair(error, asked.xnack_enabled);
  };
  EXPECT_EQ(set(-1), std::pair(0, 0));
  EXPECT_EQ(set(1).first, 0);
  EXPECT_EQ(set(-1), std::pair(0, 1));
  ASSERT_EQ(create(rig, good_queue()), 0);
  EXPECT_EQ(set(0).first, EBUSY);
  EXPECT_EQ(set(-1), std::pair(0, 1));
  KfdRig old({.gpus = 1, .chip = Chip::gfx908});
  abi::SetXnackMode asked{1};
  EXPECT_EQ(old.call(abi::Call::set_xnack_mode, asked).error, EPERM);
}

// kfd_ioctl_get_process_apertures_new
TEST(KfdProcess, apertures_are_told_for_as_many_gpus_as_there_is_room) {
  KfdRig rig;
  abi::GetProcessAperturesNew asked{0, 0, 0};
  EXPECT_EQ(rig.call(abi::Call::get_process_apertures_new, asked).error, 0);
  EXPECT_EQ(asked.num_of_nodes, 4U);
  asked = {FakeSurroundings::base, 9, 0};
  EXPECT_EQ(rig.call(abi::Call::get_process_apertures_new, asked).error, 0);
  EXPECT_EQ(asked.num_of_nodes, 4U);
  std::array<abi::Apertures, 4> told{};
  ASSERT_TRUE(rig.world.read(FakeSurroundings::base, std::as_writable_bytes(std::span(told))));
  EXPECT_EQ(told[3].gpu_id, gpu_id_of(3));
  asked = {1, 2, 0};
  EXPECT_EQ(rig.call(abi::Call::get_process_apertures_new, asked).error, EFAULT);
  EXPECT_EQ(asked.num_of_nodes, 2U);
  abi::GetProcessApertures old{};
  KfdRig many({.gpus = 16});
  EXPECT_EQ(many.call(abi::Call::get_process_apertures, old).error, 0);
  EXPECT_EQ(old.num_of_nodes, 7U);
}

TEST(KfdProcess, the_rest_answers) {
  KfdRig rig;
  abi::GetClockCounters clock{};
  EXPECT_EQ(rig.call(abi::Call::get_clock_counters, clock).error, 0);
  EXPECT_EQ(clock.gpu_clock_counter, 0U);  // no GPU was named
  clock.gpu_id = gpu_id_of(0);
  EXPECT_EQ(rig.call(abi::Call::get_clock_counters, clock).error, 0);
  EXPECT_EQ(clock.gpu_clock_counter, 100'000'000U);
  abi::SetMemoryPolicy policy{};
  policy.gpu_id = gpu_id_of(0);
  EXPECT_EQ(rig.call(abi::Call::set_memory_policy, policy).error, 0);
  policy.default_policy = 2;
  EXPECT_EQ(rig.call(abi::Call::set_memory_policy, policy).error, EINVAL);
  abi::SetTrapHandler trap{};
  EXPECT_EQ(rig.call(abi::Call::set_trap_handler, trap).error, EINVAL);
  abi::GetTileConfig tiles{};
  tiles.gpu_id = gpu_id_of(1);
  tiles.num_tile_configs = 5;
  EXPECT_EQ(rig.call(abi::Call::get_tile_config, tiles).error, 0);
  EXPECT_EQ(tiles.num_tile_configs, 0U);
}

TEST(KfdSpec, texts_are_read_or_the_wrong_word_is_named) {
  const auto spec =
      parse_spec("gpus=16,chip=gfx942,links=pcie,vram=4GiB,system=8GiB,xnack=1,bar=small");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->gpus, 16);
  EXPECT_EQ(spec->chip, Chip::gfx942);
  EXPECT_EQ(spec->links, Links::pcie);
  EXPECT_EQ(vram_of(*spec), 4 * gib);
  EXPECT_TRUE(spec->xnack);
  EXPECT_FALSE(spec->large_bar);
  EXPECT_EQ(parse_spec("4")->gpus, 4);
  EXPECT_EQ(parse_spec("")->gpus, 1);
  for (const char* const wrong :
       {"0", "65", "-1", "gpus=", "chip=gfx11", "vram=3", "vram=0GiB", "vram=99999999999GiB",
        "vram=1KiB", "links=usb", "colour=red", "4,,5", "xnack=2", "chip=gfx908,xnack=1"})
    EXPECT_FALSE(parse_spec(wrong)) << wrong;
}

}  // namespace
}  // namespace sluice::kfd
