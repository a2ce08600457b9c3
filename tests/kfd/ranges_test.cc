// Ranges of the process's own memory: who reaches them, and where their pages are. Linux 6.1,
// kfd_svm.c: svm_range_best_prefetch_location, svm_range_best_restore_location.
#include "face/kfd/uapi/smi_events.hpp"
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t range = FakeSurroundings::base + 0x10000;
constexpr std::uint64_t range_bytes = 16384;

struct RangeCall {
  abi::Svm head{};
  std::array<abi::SvmAttribute, 3> attributes{};
};

class RangeRig : public KfdRig {
 public:
  explicit RangeRig(bool xnack, Links links = Links::xgmi)
      : KfdRig({.gpus = 3, .links = links, .xnack = xnack}) {}
  int set(std::initializer_list<abi::SvmAttribute> attributes, std::uint64_t address = range,
          std::uint64_t size = range_bytes) {
    RangeCall asked{
        {address, size, abi::svm::set_attributes, static_cast<std::uint32_t>(attributes.size())},
        {}};
    std::ranges::copy(attributes, asked.attributes.begin());
    return call(abi::Call::svm, asked).error;
  }
  bool reaches(int gpu, std::uint64_t address = range) {
    std::uint32_t word = 0;
    GpuMemory memory(machine.process(process).memory, world, gpu);
    const bool reached = memory.read(address, std::as_writable_bytes(std::span(&word, 1)));
    (void)machine.run_queues();  // which tells what has moved
    return reached;
  }
  std::uint32_t location(std::uint64_t address = range) {
    return machine.process(process).svm.location(address);
  }
  static abi::SvmAttribute access(int gpu) { return {abi::svm::access, gpu_id_of(gpu)}; }
  static abi::SvmAttribute in_place(int gpu) { return {abi::svm::access_in_place, gpu_id_of(gpu)}; }
  static abi::SvmAttribute prefetch(std::uint32_t to) { return {abi::svm::prefetch_location, to}; }
  static abi::SvmAttribute preferred(std::uint32_t to) {
    return {abi::svm::preferred_location, to};
  }
};

TEST(KfdRanges, without_xnack_gpus_reach_what_they_have_access_to) {
  RangeRig rig(false);
  EXPECT_FALSE(rig.reaches(0));
  ASSERT_EQ(rig.set({rig.access(0), rig.in_place(1)}), 0);
  EXPECT_TRUE(rig.reaches(0));
  EXPECT_TRUE(rig.reaches(1, range + range_bytes - 4));
  EXPECT_FALSE(rig.reaches(1, range + range_bytes));
  EXPECT_FALSE(rig.reaches(2));
  ASSERT_EQ(rig.set({{abi::svm::no_access, gpu_id_of(0)}}, range, 4096), 0);
  EXPECT_FALSE(rig.reaches(0));
  EXPECT_TRUE(rig.reaches(0, range + 4096));
}

TEST(KfdRanges, a_gpu_reads_and_writes_the_bytes_of_the_process) {
  RangeRig rig(false);
  ASSERT_EQ(rig.set({rig.access(0), rig.prefetch(gpu_id_of(0))}), 0);
  const std::uint32_t value = 0x1234;
  GpuMemory memory(rig.machine.process(rig.process).memory, rig.world, 0);
  ASSERT_TRUE(memory.write(range + 8, std::as_bytes(std::span(&value, 1))));
  std::uint32_t found = 0;
  ASSERT_TRUE(rig.world.read(range + 8, std::as_writable_bytes(std::span(&found, 1))));
  EXPECT_EQ(found, value);
  std::uint32_t* const word = memory.word<std::uint32_t>(range + 8);
  ASSERT_NE(word, nullptr);
  EXPECT_EQ(*word, value);
}

TEST(KfdRanges, a_prefetch_moves_pages_once_and_is_told) {
  RangeRig rig(false);
  ASSERT_EQ(rig.set({rig.access(0), rig.prefetch(gpu_id_of(0))}), 0);
  EXPECT_EQ(rig.location(), gpu_id_of(0));
  ASSERT_EQ(rig.world.told.size(), 2U);
  EXPECT_EQ(rig.world.told[0],
            (FakeSurroundings::Told{0, smi::migrate_start,
                                    "5 1000000000 -1 @20(4) 0->1001 1001:ffffffff 0\n"}));
  EXPECT_EQ(rig.world.told[1],
            (FakeSurroundings::Told{0, smi::migrate_end, "6 1000000000 -1 @20(4) 0->1001 0\n"}));
  ASSERT_EQ(rig.set({rig.prefetch(gpu_id_of(0))}), 0);  // there is nothing to move
  EXPECT_EQ(rig.world.told.size(), 2U);
  ASSERT_EQ(rig.set({rig.prefetch(abi::svm::system_memory)}, range, 4096), 0);
  EXPECT_EQ(rig.location(), 0U);
  EXPECT_EQ(rig.location(range + 4096), gpu_id_of(0));
}

TEST(KfdRanges, a_prefetch_goes_to_the_host_if_a_gpu_with_access_is_not_linked) {
  for (const bool xnack : {false, true}) {
    RangeRig rig(xnack, Links::pcie);
    ASSERT_EQ(rig.set({rig.in_place(1), rig.prefetch(gpu_id_of(0))}), 0);
    EXPECT_EQ(rig.location(), 0U);
    ASSERT_EQ(rig.set({rig.access(1), rig.prefetch(gpu_id_of(0))}), 0);
    EXPECT_EQ(rig.location(), xnack ? gpu_id_of(0) : 0U);  // then access alone does not count
  }
  RangeRig linked(false);
  ASSERT_EQ(linked.set({linked.in_place(1), linked.prefetch(gpu_id_of(0))}), 0);
  EXPECT_EQ(linked.location(), gpu_id_of(0));
}

// svm_range_unmap_from_cpu
TEST(KfdRanges, memory_that_is_unmapped_loses_its_attributes) {
  RangeRig rig(false);
  ASSERT_EQ(rig.set({rig.access(0)}), 0);
  EXPECT_EQ(rig.world.watched, std::pair(range, range_bytes));
  rig.machine.forget_memory(rig.process, range + 4096, 4096);
  EXPECT_TRUE(rig.reaches(0));
  EXPECT_FALSE(rig.reaches(0, range + 4096));
  EXPECT_TRUE(rig.reaches(0, range + 8192));
  EXPECT_EQ(rig.allocate(4096, abi::memory::vram, range).error, EADDRINUSE);
  EXPECT_EQ(rig.allocate(4096, abi::memory::vram, range + 4096).error, 0);
  rig.machine.forget_memory(rig.process, FakeSurroundings::base, FakeSurroundings::size);
  EXPECT_EQ(rig.allocate(4096, abi::memory::vram, range).error, 0);
}

// The attributes are committed before the pages move.
TEST(KfdRanges, a_migration_that_fails_keeps_the_attributes_and_the_pages_before_it) {
  RangeRig rig(false);
  ASSERT_EQ(rig.set({rig.access(1)}, range, 4096), 0);
  ASSERT_EQ(rig.set({rig.access(2)}, range + 4096, 4096), 0);
  rig.world.once = false;
  rig.world.plan[{1, Step::migrate}] = {.fails = true};
  EXPECT_EQ(rig.set({rig.access(0), rig.prefetch(gpu_id_of(1))}), ENOMEM);
  EXPECT_EQ(rig.location(), 0U);
  EXPECT_TRUE(rig.reaches(0));
}

TEST(KfdRanges, with_xnack_a_fault_takes_pages_to_the_gpu_that_has_access) {
  RangeRig rig(true);
  ASSERT_EQ(rig.set({}), 0);
  EXPECT_TRUE(rig.reaches(1, range + 4096));
  EXPECT_EQ(rig.location(), gpu_id_of(1));
  ASSERT_EQ(rig.world.told.size(), 4U);
  EXPECT_EQ(rig.world.told[0].line, "7 1000000000 -1 @21(1036) R\n");
  EXPECT_EQ(rig.world.told[1].line, "5 1000000000 -1 @20(4) 0->1036 ffffffff:ffffffff 1\n");
  EXPECT_EQ(rig.world.told[3].line, "8 1000000000 -1 @21(1036) M\n");
  EXPECT_TRUE(rig.reaches(1));
  EXPECT_EQ(rig.world.told.size(), 4U);  // it is mapped now
  EXPECT_TRUE(rig.reaches(2));
  EXPECT_EQ(rig.location(), gpu_id_of(2));
}

TEST(KfdRanges, with_xnack_preferences_and_access_in_place_decide) {
  RangeRig rig(true);
  ASSERT_EQ(rig.set({rig.preferred(abi::svm::system_memory)}), 0);
  EXPECT_TRUE(rig.reaches(0));
  EXPECT_EQ(rig.location(), 0U);
  ASSERT_EQ(rig.set({rig.preferred(gpu_id_of(2))}), 0);
  EXPECT_TRUE(rig.reaches(1));
  EXPECT_EQ(rig.location(), gpu_id_of(2));
  ASSERT_EQ(rig.set({rig.preferred(abi::svm::undefined), rig.in_place(0)}), 0);
  EXPECT_TRUE(rig.reaches(0));
  EXPECT_EQ(rig.location(), gpu_id_of(2));  // in place, over the link
  ASSERT_EQ(rig.set({{abi::svm::no_access, gpu_id_of(1)}}), 0);
  EXPECT_FALSE(rig.reaches(1));
  EXPECT_TRUE(rig.reaches(0, range + range_bytes));  // memory without attributes
  RangeRig apart(true, Links::pcie);
  ASSERT_EQ(apart.set({apart.preferred(gpu_id_of(2)), apart.in_place(0)}), 0);
  EXPECT_TRUE(apart.reaches(2));
  EXPECT_TRUE(apart.reaches(0));
  EXPECT_EQ(apart.location(), 0U);
}

}  // namespace
}  // namespace sluice::kfd
