// The stand-in driver's memory: what a GPU reaches, and what ends it.
#include <thread>

#include "cuda_face/fake_rig.hpp"

namespace sluice::cuda_face_tests {
namespace {

TEST(FakeMemory, host_and_gpu_have_different_bytes_at_one_address) {
  const Program program;
  const CUdeviceptr place = program.map();
  void* const view = mmap(Program::words(place), block, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ASSERT_EQ(view, Program::words(place));
  *Program::words(place) = 5;
  MUST(program.fill(place, 7, 1000));
  EXPECT_EQ(program.word_at(place + 999 * 4), 7U);
  EXPECT_EQ(*Program::words(place), 5U);
}

TEST(FakeMemory, an_address_without_memory_ends_the_context_for_good) {
  in_a_process("fill on GPU 0 writes .*: nothing was ever mapped there", [] {
    const Program program;
    const CUdeviceptr place = program.reserve();
    MUST(program.fill(place, 7, 1));
    EXPECT_EQ(program.finish(), illegal_address);
    EXPECT_EQ(program.driver.stream_query(program.stream), illegal_address);
    CUstream other = nullptr;
    EXPECT_EQ(program.driver.stream_create(&other, 0, 0), illegal_address);
  });
}

TEST(FakeMemory, a_mapping_without_rights_is_no_memory) {
  in_a_process("without this right", [] {
    const Program program;
    const CUdeviceptr place = program.reserve();
    MUST(program.driver.memory_map(place, block, 0, program.create(), 0));
    MUST(program.fill(place, 7, 1));
    EXPECT_EQ(program.finish(), illegal_address);
  });
}

TEST(FakeMemory, what_may_be_read_may_not_be_written) {
  in_a_process("writes", [] {
    const Program program;
    const CUdeviceptr place = program.map();
    program.allow(place, access_read);
    (void)program.word_at(place);
    MUST(program.fill(place, 7, 1));
    EXPECT_EQ(program.finish(), illegal_address);
  });
}

TEST(FakeMemory, a_mapping_that_leaves_under_a_running_kernel_ends_it) {
  in_a_process("spin on GPU 0 reads .*: cuMemUnmap of thread", [] {
    const Program program;
    const CUdeviceptr place = program.map();
    MUST(program.fill(place, 0, 1));
    MUST(program.finish());
    MUST(program.launch("spin", sluice_soft_spin{Program::words(place), 1}));
    MUST(program.driver.memory_unmap(place, block));
    EXPECT_EQ(program.finish(), illegal_address);
  });
}

// A kernel that has used a block, and runs until it is let go.
class UsedBlock {
 public:
  UsedBlock() : place(program.map()), word_(program) {
    MUST(program.fill(place, 0, 1));
    MUST(program.launch("meet", sluice_soft_meet{Program::words(place), word_.get(), 1}));
    CUstream other = nullptr;
    MUST(program.driver.stream_create(&other, device::cuda::stream_non_blocking, 0));
    std::uint32_t met = 0;
    while (met != 1) {
      MUST(program.driver.copy(reinterpret_cast<CUdeviceptr>(&met), place, sizeof met, other));
      MUST(program.driver.stream_synchronize(other));
    }
  }
  [[nodiscard]] CUresult let_go() {
    word_.set(1);
    return program.finish();
  }

  const Program program;
  const CUdeviceptr place;

 private:
  SharedWord word_;
};

// A card would not notice: the kernel might have touched it again.
TEST(FakeMemory, even_if_the_kernel_touches_it_no_more) {
  in_a_process("meet on GPU 0 writes .*: cuMemUnmap of thread", [] {
    UsedBlock used;
    MUST(used.program.driver.memory_unmap(used.place, block));
    EXPECT_EQ(used.let_go(), illegal_address);
  });
}

TEST(FakeMemory, a_right_that_is_taken_back_under_a_running_kernel_ends_it) {
  in_a_process("meet on GPU 0 writes .*without this right", [] {
    UsedBlock used;
    used.program.allow(used.place, access_read);
    EXPECT_EQ(used.let_go(), illegal_address);
  });
}

TEST(FakeMemory, a_right_that_changes_has_a_gap_if_that_is_asked_for) {
  const Setting gap("FAKE_CUDA_GAP", "1");
  in_a_process("meet on GPU 0 writes .*or the right was changed", [] {
    UsedBlock used;
    used.program.allow(used.place);
    EXPECT_EQ(used.let_go(), illegal_address);
  });
}

TEST(FakeMemory, only_whole_mappings_of_whole_allocations_come_and_go) {
  const Program program;
  const CUdeviceptr place = program.reserve(4 * block);
  const auto memory = program.create(2 * block);
  EXPECT_NE(program.driver.memory_map(place, block, 0, memory, 0), success);
  EXPECT_NE(program.driver.memory_map(place, block, block, memory, 0), success);
  EXPECT_NE(program.driver.memory_map(place + 3 * block, 2 * block, 0, memory, 0), success);
  MUST(program.driver.memory_map(place, 2 * block, 0, memory, 0));
  EXPECT_NE(program.driver.memory_map(place + block, block, 0, program.create(), 0), success);
  MUST(program.driver.memory_map(place + 2 * block, block, 0, program.create(), 0));
  EXPECT_NE(program.driver.memory_unmap(place, block), success);
  EXPECT_NE(program.driver.memory_unmap(place, 4 * block), success);
  EXPECT_NE(program.driver.address_free(place, 4 * block), success);
  MUST(program.driver.memory_unmap(place, 3 * block));
  MUST(program.driver.address_free(place, 4 * block));
}

TEST(FakeMemory, runs_out_and_comes_back) {
  const Setting small("FAKE_CUDA_MEMORY", "4");
  in_a_process("", [] {
    const Program program;
    const auto first = program.create();
    const auto second = program.create();
    CUmemAllocationProp properties{.type = device::cuda::allocation_pinned,
                                   .requestedHandleTypes = 0,
                                   .location = {device::cuda::location_device, 0},
                                   .win32HandleMetaData = nullptr,
                                   .allocFlags = {}};
    CUmemGenericAllocationHandle third = 0;
    EXPECT_EQ(program.driver.memory_create(&third, block, &properties, 0), 2);
    MUST(program.driver.memory_release(first));
    MUST(program.driver.memory_create(&third, block, &properties, 0));
    EXPECT_NE(third, second);
  });
}

// --- registered host memory ----------------------------------------------------------------------

class FakeHostMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = memfd_create("host", MFD_CLOEXEC);
    ASSERT_EQ(ftruncate(file_, 2 * block), 0);
    void* const view = mmap(nullptr, 2 * block, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    ASSERT_NE(view, MAP_FAILED);
    view_ = static_cast<std::uint32_t*>(view);
  }
  void TearDown() override {
    munmap(view_, 2 * block);
    close(file_);
  }
  [[nodiscard]] CUdeviceptr address() const { return reinterpret_cast<CUdeviceptr>(view_); }

  Program program_;
  int file_ = -1;
  std::uint32_t* view_ = nullptr;
};

TEST_F(FakeHostMemory, a_gpu_reaches_the_pages_whatever_the_host_s_view_allows) {
  MUST(program_.driver.host_register(view_, block, 3));
  ASSERT_EQ(mprotect(view_, block, PROT_NONE), 0);
  MUST(program_.fill(address(), 9, 100));
  MUST(program_.finish());
  ASSERT_EQ(mprotect(view_, block, PROT_READ), 0);
  EXPECT_EQ(view_[99], 9U);
  MUST(program_.driver.host_unregister(view_));
}

TEST_F(FakeHostMemory, is_registered_once_and_forgotten_once) {
  MUST(program_.driver.host_register(view_, block, 1));
  EXPECT_EQ(program_.driver.host_register(view_ + 1024, block, 1), 712);
  MUST(program_.driver.host_unregister(view_));
  EXPECT_EQ(program_.driver.host_unregister(view_), 713);
  EXPECT_NE(program_.driver.host_register(view_, 1024 * block, 1), success);
}

TEST_F(FakeHostMemory, forgetting_it_waits_for_running_kernels) {
  SharedWord word(program_);
  MUST(program_.driver.host_register(view_, block, 1));
  word.hold_up();
  std::atomic<bool> done{false};
  std::thread forgets([&] {
    MUST(program_.driver.context_push(program_.context));
    MUST(program_.driver.host_unregister(view_));
    done = true;
    MUST(program_.driver.context_pop(nullptr));
  });
  usleep(20000);
  EXPECT_FALSE(done);
  word.set(1);
  forgets.join();
}

TEST_F(FakeHostMemory, a_copy_does_not_cross_from_one_registration_to_the_next) {
  const CUdeviceptr device = program_.map();
  MUST(program_.driver.host_register(view_, block, 1));
  MUST(program_.driver.host_register(view_ + block / 4, block, 1));
  const CUdeviceptr begin = address() + block - 4096;
  EXPECT_NE(program_.driver.copy(device, begin, 8192, program_.stream), success);
  MUST(program_.driver.copy(device, begin, 4096, program_.stream));
  MUST(program_.finish());
  MUST(program_.driver.host_unregister(view_));
  MUST(program_.driver.host_unregister(view_ + block / 4));
}

TEST_F(FakeHostMemory, lies_inside_reservations_where_nothing_is_mapped) {
  const CUdeviceptr place = program_.reserve(2 * block);
  void* const view = mmap(Program::words(place), 2 * block, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED, file_, 0);
  ASSERT_NE(view, MAP_FAILED);
  const auto memory = program_.create();
  MUST(program_.driver.memory_map(place, block, 0, memory, 0));
  program_.allow(place);
  EXPECT_NE(program_.driver.host_register(view, block, 3), success);
  MUST(program_.driver.host_register(Program::words(place + block), block, 3));
  const auto more = program_.create();
  EXPECT_NE(program_.driver.memory_map(place + block, block, 0, more, 0), success);
  // One kernel over both.
  MUST(program_.fill(place, 3, block / 2));
  MUST(program_.finish());
  EXPECT_EQ(view_[block / 4], 3U);
  EXPECT_EQ(view_[0], 0U);
  EXPECT_EQ(program_.word_at(place), 3U);
  MUST(program_.driver.host_unregister(Program::words(place + block)));
  MUST(program_.driver.memory_map(place + block, block, 0, more, 0));
}

TEST_F(FakeHostMemory, is_forgotten_with_its_context) {
  MUST(program_.driver.host_register(view_, block, 1));
  MUST(program_.driver.context_release(0));
  MUST(program_.driver.context_retain(&program_.context, 0));
  MUST(program_.driver.host_register(view_, block, 1));
  MUST(program_.driver.host_unregister(view_));
}

// --- injected failures ---------------------------------------------------------------------------

TEST(FakeFailures, the_nth_call_of_an_entry_fails) {
  const Setting failure("FAKE_CUDA_FAIL", "cuMemMap:2,cuEventCreate:1:999,cuStreamQuery:2+:3");
  in_a_process("", [] {
    const Program program;
    const CUdeviceptr place = program.reserve(3 * block);
    MUST(program.driver.memory_map(place, block, 0, program.create(), 0));
    EXPECT_EQ(program.driver.memory_map(place + block, block, 0, program.create(), 0), 2);
    MUST(program.driver.memory_map(place + block, block, 0, program.create(), 0));
    CUevent event = nullptr;
    EXPECT_EQ(program.driver.event_create(&event, 0), 999);
    MUST(program.driver.event_create(&event, 0));
    MUST(program.driver.stream_query(program.stream));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(program.driver.stream_query(program.stream), 3);
  });
}

}  // namespace
}  // namespace sluice::cuda_face_tests
