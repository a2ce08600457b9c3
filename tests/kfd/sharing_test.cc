// Memory that comes as a dma-buf. Linux 6.1: amdgpu_amdkfd_gpuvm_import_dmabuf,
// amdgpu_amdkfd_get_dmabuf_info.
#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint32_t descriptor = 33;

class SharingRig : public KfdRig {
 public:
  SharingRig() : KfdRig({.gpus = 2}) {
    world.shared[descriptor] = {.file = {99, 1},
                                .size = 8192,
                                .is_vram = true,
                                .is_host_accessible = true,
                                .metadata = std::vector<std::byte>(5, std::byte{7})};
  }
  int import(int gpu, std::uint32_t from = descriptor) {
    imported = {next_address, 0, gpu < 0 ? 5 : gpu_id_of(gpu), from};
    return call(abi::Call::import_dmabuf, imported).error;
  }
  abi::ImportDmabuf imported{};
};

TEST(KfdSharing, a_dma_buf_becomes_a_buffer_that_is_charged_to_nobody) {
  SharingRig rig;
  ASSERT_EQ(rig.import(1), 0);
  EXPECT_EQ(rig.world.open_shares, 1);
  EXPECT_EQ(rig.machine.limits().vram_used(1), 0U);
  ASSERT_EQ(rig.map(rig.imported.handle, {0}).error, 0);
  const std::uint32_t value = 0xabcd;
  GpuMemory memory(rig.machine.process(rig.process).memory, rig.world, 0);
  ASSERT_TRUE(memory.write(rig.next_address + 4096, std::as_bytes(std::span(&value, 1))));
  EXPECT_EQ(std::memcmp(rig.world.bytes({99, 1}, 0, 8192) + 4096, &value, sizeof value), 0);
  EXPECT_EQ(rig.free(rig.imported.handle), EBUSY);
  ASSERT_EQ(rig.unmap(rig.imported.handle, {0}).error, 0);
  EXPECT_EQ(rig.free(rig.imported.handle), 0);
  EXPECT_EQ(rig.world.open_shares, 0);
  EXPECT_EQ(rig.world.discarded, 0U);  // another process may have the bytes
  EXPECT_EQ(rig.machine.limits().vram_used(1), 0U);
}

TEST(KfdSharing, the_descriptor_is_looked_at_first_then_the_gpu) {
  SharingRig rig;
  EXPECT_EQ(rig.import(-1, 34), EBADF);
  EXPECT_EQ(rig.import(-1), EINVAL);
  EXPECT_EQ(rig.import(0), EINVAL);  // memory of another GPU
  EXPECT_EQ(rig.world.open_shares, 0);
  KfdRig without({.gpus = 2}, false);
  without.world.shared = rig.world.shared;
  abi::ImportDmabuf asked{gib, 0, gpu_id_of(1), descriptor};
  EXPECT_EQ(without.call(abi::Call::import_dmabuf, asked).error, ENODEV);
  EXPECT_EQ(without.world.open_shares, 0);
}

TEST(KfdSharing, what_a_dma_buf_is_can_be_asked) {
  SharingRig rig;
  abi::GetDmabufInfo asked{};
  asked.dmabuf_fd = descriptor;
  asked.metadata_ptr = FakeSurroundings::base;
  asked.metadata_size = 16;
  EXPECT_EQ(rig.call(abi::Call::get_dmabuf_info, asked).error, 0);
  EXPECT_EQ(asked.size, 8192U);
  EXPECT_EQ(asked.gpu_id, gpu_id_of(1));
  EXPECT_EQ(asked.flags, abi::memory::vram | abi::memory::host_accessible);
  EXPECT_EQ(asked.metadata_size, 5U);
  EXPECT_EQ(rig.world.user[4], std::byte{7});
  asked.metadata_size = 4;
  EXPECT_EQ(rig.call(abi::Call::get_dmabuf_info, asked).error, EINVAL);
  asked.metadata_size = 16;
  asked.metadata_ptr = 8;
  EXPECT_EQ(rig.call(abi::Call::get_dmabuf_info, asked).error, EFAULT);
  asked.dmabuf_fd = 34;
  EXPECT_EQ(rig.call(abi::Call::get_dmabuf_info, asked).error, EBADF);
  rig.world.shared[descriptor].file.gpu = 5;  // of a larger machine
  asked.dmabuf_fd = descriptor;
  EXPECT_EQ(rig.call(abi::Call::get_dmabuf_info, asked).error, EINVAL);
  EXPECT_EQ(rig.world.open_shares, 0);
}

TEST(KfdSharing, the_end_of_a_process_closes_what_it_imported) {
  SharingRig rig;
  ASSERT_EQ(rig.import(1), 0);
  rig.machine.remove_process(rig.process);
  EXPECT_EQ(rig.world.open_shares, 0);
}

}  // namespace
}  // namespace sluice::kfd
