// The ioctls of render nodes; Linux 6.1: drm_ioctl.c, amdgpu_kms.c.
#include "face/kfd/drm/drm.hpp"

#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

struct DrmInfo {
  std::uint64_t address;
  std::uint32_t size, query;
  std::array<std::uint32_t, 4> more;
};

template <typename T>
int drm(FakeSurroundings& world, std::uint32_t number, T& arguments) {
  return drm_call({.gpus = 1}, number, std::as_writable_bytes(std::span(&arguments, 1)), world);
}

TEST(KfdDrm, the_driver_is_amdgpu_of_major_3_and_its_name_is_cut_to_the_room) {
  FakeSurroundings world;
  std::array<std::uint64_t, 8> version{};  // three numbers; sizes and addresses of three texts
  version[2] = 4;
  version[3] = FakeSurroundings::base;
  EXPECT_EQ(drm(world, 0x00, version), 0);
  EXPECT_EQ(static_cast<std::int32_t>(version[0]), 3);
  EXPECT_EQ(version[2], 6U);
  EXPECT_EQ(std::memcmp(world.user.data(), "amdg\0\0", 6), 0);
  version[3] = 1;
  EXPECT_EQ(drm(world, 0x00, version), EFAULT);
  std::uint32_t little = 0;
  EXPECT_EQ(drm(world, 0x00, little), EINVAL);
}

TEST(KfdDrm, facts_of_the_gpu_are_told_as_far_as_there_is_room) {
  FakeSurroundings world;
  DrmInfo asked{FakeSurroundings::base, 4, 0x00, {}};
  EXPECT_EQ(drm(world, 0x45, asked), 0);
  EXPECT_EQ(world.user[0], std::byte{1});
  asked = {FakeSurroundings::base, 5, 0x16, {}};
  EXPECT_EQ(drm(world, 0x45, asked), 0);
  EXPECT_EQ(std::memcmp(world.user.data(), "\x08\x74\0\0", 4), 0);
  asked = {FakeSurroundings::base, 4, 0x15, {0x263e, 1, 0, 0}};
  EXPECT_EQ(drm(world, 0x45, asked), 0);
  asked.more[0] = 7;
  EXPECT_EQ(drm(world, 0x45, asked), EFAULT);
  asked = {8, 4, 0x00, {}};
  EXPECT_EQ(drm(world, 0x45, asked), EFAULT);
  asked = {FakeSurroundings::base, 0, 0x00, {}};
  EXPECT_EQ(drm(world, 0x45, asked), EINVAL);
  asked = {FakeSurroundings::base, 4, 0xee, {}};
  EXPECT_EQ(drm(world, 0x45, asked), ENOTTY);
  EXPECT_EQ(drm(world, 0x44, asked), ENOTTY);  // command submission
}

}  // namespace
}  // namespace sluice::kfd
